"""Random generators that are seeded at their first use.

The snapshot freezes every random generator that a module made when it was imported, so each fresh sandbox would draw
the same "random" numbers and look pure doing so. These generators are unseeded: the first draw takes a seed from the
host, which notes it; a program that seeds first stays pure.
"""

from __future__ import annotations

import gc
import random
import sys
from typing import Any

from . import host
from .replacements import Replacements

Random = random.Random


class Unseeded(Random):
    """A generator that becomes a `Random` when it is first drawn from or seeded."""

    def _become_random(self) -> None:
        self.__class__ = Random
        if self is random._inst:
            for name, unseeded in _drawing.items():
                if random.__dict__[name] is unseeded:
                    random.__dict__[name] = getattr(self, name)

    def random(self) -> Any:
        _activate_with_seed(self)
        return self.random()

    def getrandbits(self, k: Any) -> Any:
        _activate_with_seed(self)
        return self.getrandbits(k)

    def getstate(self) -> Any:
        _activate_with_seed(self)
        return self.getstate()

    def __reduce__(self) -> Any:
        _activate_with_seed(self)
        return self.__reduce__()

    def seed(self, a: Any = None, version: Any = 2) -> None:
        if a is None and not host.awake:
            return  # componentize-py seeds the shared generator ahead of the first call
        _activate(self)
        self.seed(a, version)

    def setstate(self, state: Any) -> None:
        _activate(self)
        self.setstate(state)


def _activate(generator: Any) -> None:
    # A bound method of the unseeded class may have been taken away earlier (`from random import random`).
    if type(generator) is Unseeded:
        generator._become_random()


def _activate_with_seed(generator: Any) -> None:
    if type(generator) is Unseeded:
        generator._become_random()
        generator.seed()


_names = ("random", "getrandbits", "getstate", "setstate", "seed")
_drawing: dict[str, Any] = {}


def install(replacements: Replacements) -> None:
    """Makes every generator in the snapshot an unseeded one."""
    # Some are kept by modules that were imported before the collector looked at anything.
    values = [
        value for module in list(sys.modules.values()) for value in list(getattr(module, "__dict__", {}).values())
    ]
    for thing in [*gc.get_objects(), *values]:
        if type(thing) is Random:
            thing.gauss_next = None
            thing.__class__ = Unseeded
    for name in _names:
        # Taken from the class, these were bound before the change.
        replacements.put(random, name, getattr(random._inst, name))
        _drawing[name] = random.__dict__[name]
