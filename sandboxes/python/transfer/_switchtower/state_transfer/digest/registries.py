"""Forms of modules that a program made itself, of loggers, and of dictionaries that hold their values weakly."""

from __future__ import annotations

import importlib
import types
import weakref
from typing import Any

from .encoder import Encoder, Marker
from .forms import Form, Parts, no_attributes

# What Python puts into a module.
_SET_BY_PYTHON = frozenset("__name__ __builtins__ __loader__ __spec__ __package__ __file__ __cached__".split())


def encode_module(encoder: Encoder, value: types.ModuleType) -> None:
    """Encodes a module by its name, and one that the program made with what is in it."""
    encoder.write(b"m%s;" % value.__name__.encode())
    if encoder.view.is_made(value):
        number = encoder.memo.get(id(value))
        if number is not None:
            encoder.write(b"@%d;" % number)
            return
        encoder.memo[id(value)] = len(encoder.memo)
        if value.__spec__ is not None:
            encoder.lossy.setdefault(encoder.key, "a module that no import finds")
        encoder.push([Marker(b"made"), contents_of_module(value)])


def contents_of_module(module: types.ModuleType) -> dict[str, Any]:
    """Returns the names in a module but for those that Python puts there."""
    return {name: each for name, each in vars(module).items() if name not in _SET_BY_PYTHON}


def make_module(name: str) -> types.ModuleType:
    """Returns an empty module that no import finds."""
    return types.ModuleType(name)


def _parts_of_logger(value: Any) -> Parts:
    """Returns what a program sets in a logger."""
    return value.name, value.level, value.propagate, value.disabled, value.filters, value.handlers


def make_logger(name: str, level: int, propagate: Any, disabled: Any, filters: list[Any], handlers: list[Any]) -> Any:
    """Returns the logger of a name, set so."""
    logging = importlib.import_module("logging")
    made = logging.root if name == "root" else logging.getLogger(name)
    made.setLevel(level)
    made.propagate, made.disabled, made.filters, made.handlers = propagate, disabled, filters, handlers
    return made


def _items(value: Any) -> Parts:
    return (dict(value.items()),)


_WEAK = {
    kind.__name__: Form("weak dictionary", _items, kind, attributes=no_attributes)
    for kind in (weakref.WeakValueDictionary, weakref.WeakKeyDictionary)
}
_LOGGER = Form("logger", _parts_of_logger, make_logger)

NAMED: dict[tuple[str, str], Form] = {
    **{("weakref", name): form for name, form in _WEAK.items()},
    ("weakref", "WeakSet"): Form("weak set", lambda value: (set(value),), weakref.WeakSet, attributes=no_attributes),
    ("_weakrefset", "WeakSet"): Form(
        "weak set", lambda value: (set(value),), weakref.WeakSet, attributes=no_attributes
    ),
    ("logging", "Logger"): _LOGGER,
    ("logging", "RootLogger"): _LOGGER,
}
