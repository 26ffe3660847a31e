"""Replaces functions in every place where they have been bound.

Modules take functions from each other when they are imported (`from os import open`, default arguments), so replacing
one attribute is not enough.
"""

from __future__ import annotations

import gc
import sys
import types
from typing import Any


class Replacements:
    def __init__(self) -> None:
        self._new: dict[int, Any] = {}
        self._old: list[object] = []

    def put(self, module: Any, name: str, new: Any) -> None:
        """`module.name` becomes `new`; other places follow with `spread`."""
        old = module.__dict__.get(name)
        if old is not None and id(old) not in self._new:
            self._new[id(old)] = new
            self._old.append(old)  # keeps the id taken
        setattr(module, name, new)

    def spread(self, keep: Any = ()) -> None:
        new = self._new
        kept = {id(module.__dict__) for module in keep}
        for module in list(sys.modules.values()):
            names = getattr(module, "__dict__", None)
            if not isinstance(names, dict) or id(names) in kept:
                continue
            for name, value in list(names.items()):
                if id(value) in new:
                    names[name] = new[id(value)]
        for function in gc.get_objects():
            if type(function) is not types.FunctionType or id(function.__globals__) in kept:
                continue
            if function.__defaults__ and any(id(d) in new for d in function.__defaults__):
                function.__defaults__ = tuple(new.get(id(d), d) for d in function.__defaults__)
            if function.__kwdefaults__ and any(id(d) in new for d in function.__kwdefaults__.values()):
                function.__kwdefaults__ = {k: new.get(id(d), d) for k, d in function.__kwdefaults__.items()}
