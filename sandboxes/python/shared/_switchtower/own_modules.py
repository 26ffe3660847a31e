"""Keeps what the kernel uses of Python's modules apart from what a program puts in its place.

A program may replace `json.dumps` or `os.write`, for a test of its own or by mistake. So the modules of this package see
copies of Python's modules, made before the first program.
"""

from __future__ import annotations

import sys
import types
from typing import Any

# In these the kernel itself sets attributes that programs see.
_SHARED = frozenset({"sys", "builtins", "random"})
_PACKAGE = __name__.partition(".")[0]
# Name to copy.
_copies: dict[str, types.ModuleType] = {}


def keep() -> None:
    """Puts copies in the place of Python's modules in all modules of this package, where there are none yet."""
    for name in [name for name in sys.modules if _is_own(name)]:
        keep_in(vars(sys.modules[name]))


def keep_in(names: dict[str, Any]) -> None:
    """Puts copies in the place of Python's modules among the names of a module."""
    for name, value in list(names.items()):
        if type(value) is types.ModuleType and not _is_own(value.__name__) and value.__name__ not in _SHARED:
            names[name] = _copied(value)


def _is_own(name: str) -> bool:
    # The host's functions are in a module beside the package.
    return name.startswith(_PACKAGE)


def _copied(module: types.ModuleType) -> types.ModuleType:
    name = module.__name__
    copy = _copies.get(name)
    if copy is None:
        copy = _copies[name] = types.ModuleType(name)
        vars(copy).update(vars(module))
        for inside, value in list(vars(module).items()):
            # `os.path`, and the modules of a package.
            if type(value) is types.ModuleType and (inside == "path" or value.__name__.startswith(name + ".")):
                vars(copy)[inside] = _copied(value)
    return copy
