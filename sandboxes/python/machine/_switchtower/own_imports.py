"""Imports of the kernel's own, made late because most sessions never need them."""

from __future__ import annotations

import importlib
import sys
import types

# The path as the interpreter made it, without a program's folders: its `types.py` is none of ours.
_path = [folder for folder in sys.path if folder]
# What was imported before any program.
known = frozenset(sys.modules)


def remember() -> None:
    """Notes what is imported by now."""
    global known
    known = frozenset(sys.modules)


def import_own(name: str) -> types.ModuleType:
    """Imports a module of Python's or of ours."""
    module = sys.modules.get(name)
    if module is not None:
        return module
    held, writes = sys.path[:], sys.dont_write_bytecode
    sys.path[:], sys.dont_write_bytecode = _path, True
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:], sys.dont_write_bytecode = held, writes
