"""Loads modules of the program again whose files have changed: `%autoreload 2`."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import types
from typing import Any

from .paths import HOME

_FUNCTION = ("__code__", "__defaults__", "__kwdefaults__", "__doc__", "__annotations__")
_NOT_COPIED = frozenset({"__dict__", "__weakref__", "__module__", "__class__"})


class Reloader:
    def __init__(self) -> None:
        self.is_on = False
        # Name of a module to the state of its file when it was loaded.
        self._files: dict[str, tuple[int, int]] = {}

    def after_cell(self) -> None:
        """Remembers the files of modules that the cell imported."""
        if self.is_on:
            for name, module in list(sys.modules.items()):
                if name not in self._files and (state := _state_of(module)) is not None:
                    self._files[name] = state

    def before_cell(self) -> None:
        """Loads again what has changed, where a cell asked for that."""
        if self.is_on:
            self.reload_changed()

    def reload_changed(self) -> None:
        """Loads again what has changed. What fails is reported, and the module stays as it is."""
        for name, module in list(sys.modules.items()):
            state = _state_of(module)
            before = self._files.get(name)
            if state is None or state == before:
                continue
            self._files[name] = state
            if before is not None:
                try:
                    _reload(module)
                except Exception as error:
                    print(f"[autoreload of {name} failed: {type(error).__name__}: {error}]", file=sys.stderr)


def _state_of(module: Any) -> tuple[int, int] | None:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or not file.endswith(".py"):
        return None
    path = os.path.abspath(file)
    if not path.startswith((HOME + "/", "/tmp/", os.getcwd() + "/")) or "/site-packages/" in path:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _reload(module: types.ModuleType) -> None:
    before = dict(vars(module))
    importlib.invalidate_caches()
    importlib.reload(module)
    for name, old in before.items():
        new = vars(module).get(name)
        if new is not old and getattr(old, "__module__", None) == module.__name__:
            _update(old, new)


def _update(old: Any, new: Any) -> None:
    """Makes what other modules hold of an old function or class behave as the new one."""
    if isinstance(old, types.FunctionType) and isinstance(new, types.FunctionType):
        for name in _FUNCTION:
            try:
                setattr(old, name, getattr(new, name))
            except (AttributeError, ValueError):
                pass  # of another closure
        vars(old).update(vars(new))
    elif isinstance(old, (staticmethod, classmethod)) and type(old) is type(new):
        _update(old.__func__, new.__func__)
    elif isinstance(old, type) and isinstance(new, type):
        _update_class(old, new)


def _update_class(old: type, new: type) -> None:
    for name, inside in list(vars(old).items()):
        if name in _NOT_COPIED:
            continue
        try:
            if name not in vars(new):
                delattr(old, name)
            else:
                _update(inside, vars(new)[name])
                setattr(old, name, vars(new)[name])
        except (AttributeError, TypeError):
            pass
    for name, inside in vars(new).items():
        if name not in vars(old) and name not in _NOT_COPIED:
            setattr(old, name, inside)
    for one in gc.get_referrers(old):
        if type(one) is old:
            try:
                one.__class__ = new
            except TypeError:
                pass  # of another layout
