"""Standard streams. The host reads and writes them; the guest only keeps lines together."""

import io
import sys
from _io import FileIO


def _raw(number, mode, name):
    raw = FileIO(number, mode, closefd=False)
    raw.name = name
    return raw


def _text(buffer, mode, **options):
    stream = io.TextIOWrapper(buffer, "utf-8", newline="\n", **options)
    stream.mode = mode
    return stream


def _out():
    buffer = io.BufferedWriter(_raw(1, "wb", "<stdout>"))
    return _text(buffer, "w", errors="strict", line_buffering=True)


def _err():
    buffer = io.BufferedWriter(_raw(2, "wb", "<stderr>"))
    return _text(buffer, "w", errors="backslashreplace", line_buffering=True)


def _in():
    stream = io.TextIOWrapper(io.BufferedReader(_raw(0, "rb", "<stdin>")), "utf-8", errors="surrogateescape")
    stream.mode = "r"
    return stream


def install():
    """Fresh streams, so that nothing of a warm-up is left in a buffer."""
    sys.stdout = sys.__stdout__ = _out()
    sys.stderr = sys.__stderr__ = _err()
    read_anew()


def read_anew():
    """Fresh input: nothing is left of what was read ahead."""
    sys.stdin = sys.__stdin__ = _in()


def mend():
    """Puts back what a cell closed or took away, so that the next one can speak."""
    for name, make in (("stdout", _out), ("stderr", _err)):
        stream, own = getattr(sys, name, None), f"__{name}__"
        if stream is None or getattr(stream, "closed", False):
            if getattr(getattr(sys, own, None), "closed", True):
                setattr(sys, own, make())
            setattr(sys, name, getattr(sys, own))


def silence():
    """Streams that nobody hears, for the warm-up."""
    sys.stdout, sys.stderr, sys.stdin = io.StringIO(), io.StringIO(), io.StringIO("a line\n")


def flush():
    """At the program's end; a program may have closed or replaced its streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass
