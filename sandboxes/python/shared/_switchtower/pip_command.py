"""Commands that start pip as a process."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any

# What gives a line to the shell another meaning than its words have. A version's `>=` is meant as one, quoted or not.
_SHELL = re.compile(r"[|;&`$\\*()\n]|(^|\s)[0-9]*[<>]")
# The output that there may be goes nowhere. Errors go where they may: there are none.
_ERRORS = re.compile(r"\s+2>(&1|\s*/dev/null)(?=\s|$)")
_SILENT = re.compile(r"\s+[1&]?>\s*/dev/null(?=\s|$)")
_PYTHON = re.compile(r"python(3(\.\d+)?)?")
_PIP = re.compile(r"pip(3(\.\d+)?)?")


def words(command: Any, shell: bool) -> list[str] | None:
    """Returns the words after `pip` of a command in any of the ways to start it; `None`: it is another command."""
    if isinstance(command, (str, bytes, os.PathLike)):
        text = os.fsdecode(command)
        text, silenced = _SILENT.subn("", _ERRORS.sub("", text)) if shell else (text, 0)
        if _SHELL.search(text):
            return None
        try:
            split = shlex.split(text) + ["-q"] * bool(silenced)
        except ValueError:
            return None
    elif isinstance(command, Sequence) and not shell:
        split = [os.fsdecode(word) if isinstance(word, (bytes, os.PathLike)) else str(word) for word in command]
    else:
        return None
    match split:
        case [python, "-m", "pip", *rest] if python == sys.executable or _PYTHON.fullmatch(os.path.basename(python)):
            return rest
        case ["uv", "pip", *rest]:
            return rest
        case [pip, *rest] if _PIP.fullmatch(os.path.basename(pip)):
            return rest
    return None
