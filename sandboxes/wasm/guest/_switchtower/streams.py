"""Standard streams. The host reads and writes them; the guest only keeps lines together."""

import io
import sys
from _io import FileIO

_out, _err, _in = FileIO(1, "wb", closefd=False), FileIO(2, "wb", closefd=False), FileIO(0, "rb", closefd=False)
for _raw, _name in ((_out, "<stdout>"), (_err, "<stderr>"), (_in, "<stdin>")):
    _raw.name = _name


def _text(buffer, mode, **options):
    stream = io.TextIOWrapper(buffer, "utf-8", newline="\n", **options)
    stream.mode = mode
    return stream


def install():
    """Fresh streams, so that nothing of a warm-up is left in a buffer."""
    sys.stdout = sys.__stdout__ = _text(io.BufferedWriter(_out), "w", errors="strict", line_buffering=True)
    sys.stderr = sys.__stderr__ = _text(io.BufferedWriter(_err), "w", errors="backslashreplace", line_buffering=True)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(_in), "utf-8", errors="surrogateescape")
    sys.stdin.mode = "r"


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
