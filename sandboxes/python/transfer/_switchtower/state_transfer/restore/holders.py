"""Where libraries hold values of the program: in attributes that the program set, and in the handlers of loggers."""

from __future__ import annotations

import collections
import functools
import gc
import io
import signal
import sys
import types
from collections.abc import Collection, Iterator
from typing import Any

# Values that a program makes of Python's own classes; others in modules are mostly the libraries' own.
_OF_PROGRAMS = (list, dict, set, bytearray, collections.deque, io.StringIO, io.BytesIO)
# What holds values for something else.
_LINKS = (list, dict, tuple, set, types.MethodType, functools.partial)
_MOST_INSIDE = 1000
# What a display hook and a debugger keep.
_OF_KERNEL = frozenset({"_", "last_exc", "last_value", "last_type", "last_traceback"})


def held_by_libraries(view: Any, places: Collection[int]) -> Iterator[tuple[str, Any]]:
    """Yields values whose ids are among `places`, each with what holds it."""
    for holder, value in _attributes_of_modules(view):
        for inside in (value, *_linked(view, value)):
            if id(inside) in view.streams:
                continue
            if id(inside) in places and (type(inside) in _OF_PROGRAMS or type(inside).__module__ in view.modules):
                yield holder, inside
    for logger in _loggers():
        if id(logger) not in places:
            for handler in (*logger.handlers, *logger.filters):
                for inside in (handler, *getattr(handler, "__dict__", {}).values()):
                    if id(inside) in places:
                        yield f"the logger {logger.name!r}", inside


def _attributes_of_modules(view: Any) -> Iterator[tuple[str, Any]]:
    for module_name, module in list(sys.modules.items()):
        if module_name not in view.modules and not module_name.startswith("_switchtower"):
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if name not in _OF_KERNEL:
                    yield f"{module_name}.{name}", value
    # In WebAssembly there are none.
    for number in signal.valid_signals() if hasattr(signal, "valid_signals") else ():
        yield f"the handler of signal {number}", signal.getsignal(number)


def _linked(view: Any, value: Any) -> list[Any]:
    """Returns what a value leads to at once."""
    if type(value) in _LINKS:
        return gc.get_referents(value) if not hasattr(value, "__len__") or len(value) <= _MOST_INSIDE else []
    if type(value) is types.FunctionType and view.wrote(value):
        return [part for cell in value.__closure__ or () for part in gc.get_referents(cell)]
    return []


def _loggers() -> list[Any]:
    logging: Any = sys.modules.get("logging")
    if logging is None:
        return []
    named = logging.root.manager.loggerDict.values()
    return [logging.root, *(each for each in named if isinstance(each, logging.Logger))]
