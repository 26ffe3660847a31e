"""Runs lines with pip as a shell would, without a process."""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Callable

from . import pip_answers
from .shell_line import Command, Line
from .shell_tools import Result

# Less than a pipe holds: the answer is written before anybody reads.
_MAX_ANSWER = 60_000
_MAX_FILE = 1 << 16

# What was written: to the output or to the errors, in order.
Written = list[tuple[int, str]]
OUT, ERRORS = 1, 2


def run(line: Line, folder: str, come_in: Callable[[], str]) -> tuple[int, Written]:
    """Returns the exit code of a line and what it writes."""
    code, written = _run(line, folder, functools.cache(come_in))
    left, bounded = _MAX_ANSWER, []
    for where, text in written:
        part = text.encode("utf-8", "replace")[:left].decode("utf-8", "ignore")
        left -= len(part.encode())
        bounded.append((where, part))
    return code, bounded


def _run(line: Line, folder: str, come_in: Callable[[], str]) -> tuple[int, Written]:
    code = 0
    written: Written = []
    for joint, commands in line:
        if (joint == "&&" and code) or (joint == "||" and not code):
            continue
        source: Callable[[], str] = come_in
        for number, command in enumerate(commands):
            folder, result = _result(command, folder, source, alone=len(commands) == 1)
            code = result[0]
            last = number == len(commands) - 1
            passed = []
            for where, text in result[1]:
                hidden = command.hides_output if where == OUT else command.errors == "hidden"
                to_output = where == OUT or command.errors == "output"
                if hidden:
                    continue
                if to_output and not last:
                    passed.append(text)
                else:
                    written.append((OUT if to_output else ERRORS, text))
            source = functools.partial("".join, passed)
    return code, written


def _result(command: Command, folder: str, come_in: Callable[[], str], alone: bool) -> tuple[str, tuple[int, Written]]:
    """Returns the folder after a command, and what the command left."""
    if command.inner is not None:
        return folder, _run(command.inner, folder, come_in)
    if command.folder is not None:
        target = os.path.join(folder, command.folder or os.environ.get("HOME", "/"))
        if not os.path.isdir(target):
            return folder, (2, [(ERRORS, f"/bin/sh: 1: cd: can't cd to {command.folder}\n")])
        # In a pipe, it is a shell of its own that changes its folder.
        return target if alone else folder, (0, [])
    read = functools.partial(read_file, folder)
    if command.tool is not None:
        result = command.tool.run(come_in, read)
    else:
        result = pip_answers.run(command.pip or (), come_in, read)
    return folder, (result.code, [(OUT, result.out), (ERRORS, result.errors)])


def run_pip(words: list[str]) -> Result:
    """Returns what pip's own function leaves."""
    return pip_answers.run(words, str, functools.partial(read_file, "."))


def read_file(folder: str, path: str) -> str:
    """Returns the text of a file. Devices and pipes, which may have no end, are not read."""
    whole = path if folder == "." else os.path.join(folder, path)
    mode = os.stat(whole).st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    with open(whole, encoding="utf-8-sig", errors="replace") as file:
        text = file.read(_MAX_FILE + 1)
    if len(text) > _MAX_FILE:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
    return text
