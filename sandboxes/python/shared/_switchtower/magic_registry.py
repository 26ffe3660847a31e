"""The magics that kernels here run themselves, by their names, and what others are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from . import cell_commands, host
from .magic_expansion import expand

# Functions of line magics get the kernel and the rest of the line; those of cell magics get the lines below as well.
LINE: dict[str, Callable[[Any, str], Any]] = {}
CELL: dict[str, Callable[[Any, str, str], Any]] = {}
# What surrounds a cell, which is run as every other, made of the kernel and the rest of the line.
SURROUNDING: dict[str, Callable[[Any, str], Any]] = {}
# Those of a line in which `{x}` and `$x` are not replaced.
LITERAL: set[str] = set()
# Magics that are run by another program.
SHELL_MAGICS = frozenset(
    "pip conda mamba micromamba uv bash sh script sx system cat cp ls ll lx mkdir mv rm rmdir man".split()
)


class UsageError(Exception):
    """Raised for a magic that is unknown or used wrongly."""


UsageError.__module__ = "IPython.core.error"


def line(*names: str, literal: bool = False) -> Callable[[Callable[[Any, str], Any]], Callable[[Any, str], Any]]:
    """Adds a function as line magics of these names. One that is `literal` gets its line as it is written."""

    def add(function: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
        LINE.update(dict.fromkeys(names, function))
        if literal:
            LITERAL.update(names)
        return function

    return add


def surround(kernel: Any, name: str, line: str) -> Any:
    """Returns what surrounds a cell."""
    return SURROUNDING[name](kernel, expand(line, kernel.names))


def options(line: str, flags: str, name: str, elsewhere: str = "") -> tuple[dict[str, str], str]:
    """Returns the options in front of a line, and the rest. A flag followed by `:` has a value; those `elsewhere` are
    IPython's, and a need."""
    given: dict[str, str] = {}
    while line.startswith("-") and len(line) > 1:
        word, _, rest = line.partition(" ")
        letter = word[1]
        if letter in elsewhere and not word.startswith("--"):
            refuse(f"{name} {line}", f"option {word} is not known here")
        if letter not in flags.replace(":", "") or word.startswith("--"):
            raise UsageError(f"option {word} not recognized ( allowed: {flags!r} )")
        if flags.partition(letter)[2].startswith(":"):
            value = word[2:]
            if not value:
                value, _, rest = rest.lstrip().partition(" ")
            if not value:
                raise UsageError(f"option -{letter} requires argument")
            given[letter], line = value, rest.lstrip()
        else:
            given.update(dict.fromkeys(word[1:], ""))
            line = rest.lstrip()
    return given, line


def number_of(given: dict[str, str], letter: str, default: int) -> int:
    text = given.get(letter, str(default))
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"option -{letter} takes a number, not {text!r}")
    return int(text)


def refuse(text: str, message: str | None, sign: str = "%", script: str | None = None) -> NoReturn:
    """Reports the need of a magic or a command. Raises an error where no other tier can take the cell. `script`: what a
    command runs, if that is not its own text."""
    words = text.split()
    command = text.startswith("!") or bool(words) and words[0] in SHELL_MAGICS
    shown = text.lstrip("!").strip() if command else sign + text
    if command and cell_commands.answer is None and cell_commands.asks_pip(shown if script is None else script):
        host.report_need("MODULE", "pip")
    else:
        host.report_need("PROCESS" if command else "LANGUAGE", shown[:200])
    if command:
        raise OSError(f"no commands here: {shown}")
    raise UsageError(message)
