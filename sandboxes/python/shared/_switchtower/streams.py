"""Standard streams. The host reads and writes them. Nothing is held back on the way out: what was written has arrived
however the program ends, killed in the middle of a line too. The host gathers it."""

from __future__ import annotations

import io
import sys
from _io import FileIO
from collections.abc import Callable
from typing import Any


def _raw(number: int, mode: str, name: str) -> FileIO:
    raw = FileIO(number, mode, closefd=False)
    raw.name = name
    return raw


def _text(buffer: Any, mode: str, **options: Any) -> io.TextIOWrapper:
    # No line end is translated, as on every system but Windows.
    stream = io.TextIOWrapper(buffer, "utf-8", newline="\n", **options)
    stream.mode = mode
    return stream


def _writer(number: int, name: str) -> io.BufferedWriter[FileIO]:
    """Returns a writer that holds nothing back."""
    raw = _raw(number, "wb", name)
    buffer = io.BufferedWriter(raw)
    buffer.write = _whole(raw.write)  # type: ignore[method-assign]
    return buffer


def _whole(write_some: Callable[[Any], int | None]) -> Callable[[Any], int]:
    """Returns a function that writes all of its bytes: WASI takes a part of many, and a signal cuts a write short."""

    def write(data: Any, /) -> int:
        written = write_some(data) or 0
        if written != len(data):
            left = memoryview(data).cast("B")
            size = len(left)
            while written < size:
                written += write_some(left[written:]) or 0
        return written

    return write


def _out() -> io.TextIOWrapper:
    # As in a process whose output is read by another. There is nothing to be flushed at a line's end.
    return _text(_writer(1, "<stdout>"), "w", errors="strict", write_through=True)


def _err() -> io.TextIOWrapper:
    return _text(_writer(2, "<stderr>"), "w", errors="backslashreplace", line_buffering=True, write_through=True)


def _in() -> io.TextIOWrapper:
    return _text(io.BufferedReader(_raw(0, "rb", "<stdin>")), "r", errors="surrogateescape")


def install() -> None:
    """Makes fresh streams, so that nothing of a warm-up is left in a buffer."""
    sys.stdout = sys.__stdout__ = _out()
    sys.stderr = sys.__stderr__ = _err()
    reset_input()


def reset_input() -> None:
    """Makes a fresh input stream: nothing is left of what was read ahead."""
    sys.stdin = sys.__stdin__ = _in()


def restore() -> None:
    """Puts back streams that a cell closed or removed, so that the next one can write."""
    for name, make in (("stdout", _out), ("stderr", _err)):
        stream, own = getattr(sys, name, None), f"__{name}__"
        if stream is None or getattr(stream, "closed", False):
            if getattr(getattr(sys, own, None), "closed", True):
                setattr(sys, own, make())
            setattr(sys, name, getattr(sys, own))


def discard() -> None:
    """Replaces the streams by ones whose output is dropped, for the warm-up."""
    sys.stdout, sys.stderr, sys.stdin = io.StringIO(), io.StringIO(), io.StringIO("a line\n")


def flush() -> None:
    """Flushes both streams; a program may have closed or replaced them."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass
