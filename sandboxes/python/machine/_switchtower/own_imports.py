"""Imports of the kernel's own, made late because most sessions never need them."""

from __future__ import annotations

import importlib
import sys
import types

# The path as the interpreter made it, without a program's folders: its `types.py` is none of ours.
_path = list(sys.path)
# What was imported before any program.
known = frozenset(sys.modules)


def remember() -> None:
    """Notes what is imported by now, and where from."""
    global known, _path
    known, _path = frozenset(sys.modules), [folder for folder in sys.path if folder]


def import_own(name: str) -> types.ModuleType:
    """Imports a module of Python's or of ours."""
    module = sys.modules.get(name)
    if module is not None:
        return module
    held = sys.path[:]
    sys.path[:] = _path
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = held
