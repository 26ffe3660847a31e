"""The commands of cells that are answered without a shell: those of pip, in a tier that has the answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from . import shell_line
from .magic_expansion import expand

# Returns the exit code, the output and the errors of a line. `None`: this tier has no answers, and another one may.
answer: Callable[[shell_line.Line], tuple[int, str, str]] | None = None
# What IPython replaces by a value.
_VALUE = re.compile(r"\$\w+")


def asks_pip(text: str) -> bool:
    """Returns whether a line, in which IPython has not put the values yet, is for pip."""
    return shell_line.parse(_VALUE.sub("x", text)) is not None


def is_answered(text: str) -> bool:
    """Returns whether the line has an answer here."""
    return answer is not None and asks_pip(text)


def run(text: str, names: Mapping[str, Any]) -> tuple[int, str, str] | None:
    """Returns the exit code, the output and the errors of a line; `None`: it has no answer here."""
    line = shell_line.parse(expand(text, names))
    return None if answer is None or line is None else answer(line)


def show(text: str, names: Mapping[str, Any]) -> int | None:
    """Prints the output and the errors of a line. Returns its exit code; `None`: it has no answer here."""
    found = run(text, names)
    if found is None:
        return None
    code, out, errors = found
    print(out + errors, end="")
    return code
