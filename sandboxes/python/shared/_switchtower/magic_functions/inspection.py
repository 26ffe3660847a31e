"""Prints what is known of an object: `name?`, `%pinfo`."""

from __future__ import annotations

import builtins
import contextlib
import inspect
import types
from collections.abc import Iterator
from typing import Any

from .. import pretty
from ..magic_registry import CELL, LINE, line


@line("pinfo", "pdef", "pdoc")
def _pinfo(kernel: Any, line: str) -> None:
    print(_help(kernel, line.strip(), source=False))


@line("pinfo2", "psource")
def _pinfo2(kernel: Any, line: str) -> None:
    print(_help(kernel, line.strip(), source=True))


def _help(kernel: Any, name: str, source: bool) -> str:
    """Returns what is known of an object by its name."""
    if name.startswith("%"):
        function = LINE.get(name.lstrip("%")) or CELL.get(name.lstrip("%"))
        return f"Object `{name}` not found." if function is None else f"{name} is a magic that this kernel runs."
    if "*" in name:
        import fnmatch

        matching = fnmatch.filter(sorted({*kernel.names, *dir(builtins)}), name)
        return "\n".join(matching)
    try:
        value = _evaluated(kernel, name)
    except Exception:
        return f"Object `{name}` not found."
    lines = list(_facts(value, name, source))
    return "\n".join(lines)


def _evaluated(kernel: Any, name: str) -> Any:
    first, *rest = name.split(".")
    if not all(part.isidentifier() for part in (first, *rest)):
        raise NameError(name)
    value = kernel.names[first] if first in kernel.names else getattr(builtins, first)
    for part in rest:
        value = getattr(value, part)
    return value


def _facts(value: Any, name: str, source: bool) -> Iterator[str]:
    with contextlib.suppress(Exception):
        if callable(value):
            yield f"Signature: {name.rpartition('.')[2]}{inspect.signature(value)}"
    if not callable(value) and not isinstance(value, types.ModuleType):
        yield f"Type:        {type(value).__name__}"
        with contextlib.suppress(Exception):
            text = pretty.pretty(value)
            yield f"String form: {text if len(text) <= 200 else text[:200] + '…'}"
        with contextlib.suppress(Exception):
            yield f"Length:      {len(value)}"
    text = None
    if source:
        with contextlib.suppress(Exception):
            text = inspect.getsource(value)
    if text is not None:
        yield f"Source:\n{text.rstrip()}"
    elif (documented := inspect.getdoc(value)) is not None:
        yield f"Docstring:\n{documented}"
    with contextlib.suppress(Exception):
        yield f"File:      {inspect.getfile(value)}"
    if callable(value) or isinstance(value, types.ModuleType):
        yield f"Type:      {type(value).__name__}"
