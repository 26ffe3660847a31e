"""Standard streams. The host reads and writes them; these only keep lines together."""

from __future__ import annotations

import io
import sys
from _io import FileIO
from typing import Any


def _raw(number: int, mode: str, name: str) -> FileIO:
    raw = FileIO(number, mode, closefd=False)
    raw.name = name
    return raw


def _text(buffer: Any, mode: str, **options: Any) -> io.TextIOWrapper:
    stream = io.TextIOWrapper(buffer, "utf-8", newline="\n", **options)
    stream.mode = mode
    return stream


def _out() -> io.TextIOWrapper:
    buffer = io.BufferedWriter(_raw(1, "wb", "<stdout>"))
    return _text(buffer, "w", errors="strict", line_buffering=True)


def _err() -> io.TextIOWrapper:
    buffer = io.BufferedWriter(_raw(2, "wb", "<stderr>"))
    return _text(buffer, "w", errors="backslashreplace", line_buffering=True)


def _in() -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BufferedReader(_raw(0, "rb", "<stdin>")), "utf-8", errors="surrogateescape")
    stream.mode = "r"
    return stream


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
