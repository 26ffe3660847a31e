"""Imports of the kernel's own, made late because most sessions never need them."""

from __future__ import annotations

import importlib
import sys
import types

from . import own_modules

# The path as the interpreter made it, without a program's folders: its `types.py` is none of ours.
_path = [folder for folder in sys.path if folder]
# What was imported before any program.
known = frozenset(sys.modules)


# Modules of Python's that only the transfer of a state needs, and that a program may have changed before that.
_OF_TRANSFER = "pickle base64 hashlib struct copyreg inspect ast".split()


def remember() -> None:
    """Notes what is imported by now, and keeps what the kernel uses of it."""
    global known
    known = frozenset(sys.modules)
    own_modules.keep()


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


def import_transfer() -> types.ModuleType:
    """Imports what exports a state, with modules of Python's as they are before a program."""
    name = "_switchtower.state_transfer.export.state"
    if name in sys.modules:
        return sys.modules[name]
    held = {each: sys.modules.pop(each) for each in _OF_TRANSFER if each in sys.modules and each not in known}
    try:
        module = import_own(name)
        own_modules.keep()
    finally:
        sys.modules.update(held)
    return module
