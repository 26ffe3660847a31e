"""The lines of a command's output, as `x = !command` binds them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any


class SList(list[str]):
    """Lines, also as one text and as paths."""

    def get_list(self) -> SList:
        return self

    def get_spstr(self) -> str:
        return " ".join(self)

    def get_nlstr(self) -> str:
        return "\n".join(self)

    def get_paths(self) -> Any:
        """Returns the paths of the lines that name something."""
        import pathlib

        return [pathlib.Path(line) for line in self if os.path.exists(line)]

    l = list = property(get_list)  # noqa: E741
    s = spstr = property(get_spstr)
    n = nlstr = property(get_nlstr)
    p = paths = property(get_paths)

    def grep(self, pattern: str | Callable[[str], Any], prune: bool = False, field: int | None = None) -> SList:
        """Returns the lines in which a pattern, or a function, finds something; with `prune` the others."""
        finds = pattern if callable(pattern) else re.compile(pattern, re.IGNORECASE).search
        return SList(line for line in self if bool(finds(_field(line, field))) != bool(prune))

    def fields(self, *fields: int) -> Any:
        """Returns the words of each line; with numbers, those words, joined by spaces."""
        if not fields:
            return [line.split() for line in self]
        chosen = (" ".join(filter(None, (_field(line, number) for number in fields))) for line in self)
        return SList(line for line in chosen if line)

    def sort(self, field: int | None = None, nums: bool = False) -> SList:  # type: ignore[override]
        """Returns the lines sorted, by a field and as numbers if that is wanted."""

        def key(line: str) -> tuple[Any, str]:
            by = _field(line, field)
            digits = "".join(filter(str.isdecimal, by))
            return (int(digits) if digits else 0) if nums else by, line

        return SList(sorted(self, key=key))


def _field(line: str, number: int | None) -> str:
    if number is None:
        return line
    words = line.split()
    return words[number] if -len(words) <= number < len(words) else ""


SList.__module__ = "IPython.utils.text"
