"""The commands of cells: `!ls`, `x = !ls`. They are run by a shell, as in IPython."""

from __future__ import annotations

import codecs
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from .magic_expansion import expand

# What another tier answers without a shell.
answer: Any = None
# For how long a command may go on that was interrupted, in seconds.
_GRACE = 1.0
# How often a command that has ended is looked for whose terminal others keep open, in seconds.
_POLL = 0.05
_PIECE = 1 << 16
# Nobody can turn pages.
_SURROUNDINGS = {"TERM": "xterm-color", "PAGER": "cat", "GIT_PAGER": "cat"}


def asks_pip(text: str) -> bool:
    """Returns whether another tier answers a line."""
    return False


def is_answered(text: str) -> bool:
    """Returns whether the line can be run here: any can."""
    return True


def run(text: str, names: Mapping[str, Any]) -> tuple[int, str, str]:
    """Runs a line. Returns its exit code and what it wrote to either stream."""
    child = _start(expand(text, names), subprocess.PIPE)
    try:
        out, _ = child.communicate()
    except BaseException:
        stop(child)
        raise
    return child.returncode, out.decode("utf-8", "replace"), ""


def show(text: str, names: Mapping[str, Any]) -> int:
    """Runs a line in a terminal, and prints what it writes as it comes. Returns its exit code."""
    try:
        ours, theirs = os.openpty()
    except OSError:
        ours, theirs = os.pipe()  # a machine without terminals
    try:
        try:
            child = _start(expand(text, names), theirs)
        finally:
            os.close(theirs)
        try:
            _print(ours, child)
            code = child.wait()
        except BaseException:
            stop(child)
            raise
    finally:
        os.close(ours)
    # As IPython counts: a shell adds 128 to the number of the signal that ended a command.
    return code if code <= 128 else 128 - code


def _start(text: str, output: int) -> subprocess.Popen[bytes]:
    shell = os.environ.get("SHELL", "")
    return subprocess.Popen(
        [shell if os.access(shell, os.X_OK) else "/bin/sh", "-c", text],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output == subprocess.PIPE else output,
        env={**_SURROUNDINGS, **os.environ},
        start_new_session=True,
    )


def _print(source: int, child: subprocess.Popen[bytes]) -> None:
    """Prints what comes until the command has ended. Programs that it left behind may keep the terminal open."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    ready = select.poll()
    ready.register(source, select.POLLIN)
    while True:
        ended = child.poll() is not None
        if ready.poll(0 if ended else _POLL * 1000):
            try:
                piece = os.read(source, _PIECE)
            except OSError:
                piece = b""  # nobody has the terminal open
        elif ended:
            piece = b""
        else:
            continue
        text = decoder.decode(piece, not piece)
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
        if not piece:
            return


def stop(child: subprocess.Popen[bytes]) -> None:
    """Ends a command with all that it started: by an interrupt first."""
    for number in (signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except OSError:
            pass
        ends = time.monotonic() + _GRACE
        while child.poll() is None and time.monotonic() < ends:
            time.sleep(0.005)
        if child.poll() is not None:
            return
