"""Puts the values of expressions into the line of a magic: `{x}`, `$x`, `$x.y`; `$$x` and `{{x}}` stand for themselves."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from typing import Any

# A name behind $, outside of single quotes.
_NAME = re.compile(r"\$(\$?[\w.]+)(?=(?:[^']*'[^']*')*[^']*$)")
_FORMATTER = string.Formatter()


def expand(line: str, names: Mapping[str, Any]) -> str:
    """Returns a line with the values in place; as it is, as in IPython, where one of them has none."""
    if "{" not in line and "$" not in line:
        return line
    try:
        return "".join(_parts(line, dict(names)))
    except Exception:
        return line


def _parts(line: str, names: dict[str, Any]) -> Iterator[str]:
    for literal, expression, more, conversion in _FORMATTER.parse(line):
        end = 0
        for found in _NAME.finditer(literal):
            yield literal[end : found.start()]
            yield found[1] if found[1].startswith("$") else format(eval(found[1], names))
            end = found.end()
        yield literal[end:]
        if expression is not None:
            # A colon belongs to the expression: it is a slice.
            value = eval(f"{expression}:{more}" if more else expression, names)
            yield format(_FORMATTER.convert_field(value, conversion))  # type: ignore[arg-type]
