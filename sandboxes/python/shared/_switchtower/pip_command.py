"""The words of a command that starts pip as a process."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_PIP = re.compile(r"pip(3(\.\d+)?)?")
_SETTING = re.compile(r"[A-Za-z_]\w*=")
# Programs that run the command after them as it is, with the options that change nothing about that.
_IN_FRONT: dict[str, frozenset[str]] = {
    "sudo": frozenset(("-H", "-E", "-n", "-S")),
    "env": frozenset(),
    "command": frozenset(),
}
# The same in cells, where IPython puts the value.
_EXECUTABLES = ("{sys.executable}", "{sys.executable!r}")


def without_front(words: Sequence[str]) -> list[str]:
    """Returns a command without the variables that are set for it and without `sudo` and `env` in front of it."""
    rest = list(words)
    options: frozenset[str] = frozenset()
    while rest and (_SETTING.match(rest[0]) or rest[0] in options or rest[0] in _IN_FRONT):
        options = _IN_FRONT.get(rest.pop(0), options)
    return rest


def after_pip(words: Sequence[str]) -> list[str] | None:
    """Returns the words after `pip` of a command in any of the ways to start it; `None`: it is another command."""
    match list(words):
        case ["uv", "pip", *rest]:
            return rest
        case [pip, *rest] if _PIP.fullmatch(os.path.basename(pip)):
            return rest
        case [python, *rest] if python in (sys.executable, *_EXECUTABLES) or _PYTHON.fullmatch(
            os.path.basename(python)
        ):
            while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c", "-"):
                del rest[: 2 if rest[0] in ("-W", "-X") else 1]
            if rest[:2] == ["-m", "pip"]:
                return rest[2:]
    return None
