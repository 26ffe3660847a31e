"""Makes modules of texts, for a kernel whose machine has no files of ours."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable
from typing import Any

# In these the restore itself sets attributes that programs see.
_SHARED = frozenset({"sys", "builtins"})
# Copies of Python's modules by their names.
_copies: dict[str, types.ModuleType] = {}


def load(package: str, sources: Iterable[tuple[str, str]]) -> types.ModuleType:
    """Returns a package with a module for each text, which import each other as in a folder.

    `sources` are names and texts, in the order of their imports. Nothing of it stays in `sys.modules`.
    """
    root = types.ModuleType(package)
    root.__path__ = []
    sys.modules[package] = root
    loaded = [package]
    try:
        for name, text in sources:
            module = types.ModuleType(f"{package}.{name}")
            module.__package__ = package
            sys.modules[module.__name__] = module
            loaded.append(module.__name__)
            exec(compile(text, f"<switchtower {name}>", "exec", dont_inherit=True), module.__dict__)
            _keep(package, module.__dict__)
            setattr(root, name, module)
    finally:
        for name in loaded:
            del sys.modules[name]
    return root


def _keep(package: str, names: dict[str, Any]) -> None:
    """Puts copies in the place of Python's modules: cells that run again may replace functions in those."""
    for name, value in list(names.items()):
        if type(value) is types.ModuleType and value.__name__ not in _SHARED and not value.__name__.startswith(package):
            if value.__name__ not in _copies:
                copy = _copies[value.__name__] = types.ModuleType(value.__name__)
                vars(copy).update(vars(value))
            names[name] = _copies[value.__name__]
