"""Generators that nobody has seeded yet.

The snapshot freezes every random generator that a module made when it was imported, so each fresh sandbox would draw
the same "random" numbers and look pure doing so. These generators wait, unseeded: the first draw takes a seed from the
host, which sees that chance was asked for; a program that seeds first stays pure.
"""

import gc
import random
import sys

from . import host

Random = random.Random


class Unseeded(Random):
    """A `Random` that becomes one when it is first drawn from or seeded."""

    def _wake(self):
        self.__class__ = Random
        if self is random._inst:
            for name, unseeded in _drawing.items():
                if random.__dict__[name] is unseeded:
                    random.__dict__[name] = getattr(self, name)

    def random(self):
        _seeded(self)
        return self.random()

    def getrandbits(self, k):
        _seeded(self)
        return self.getrandbits(k)

    def getstate(self):
        _seeded(self)
        return self.getstate()

    def __reduce__(self):
        _seeded(self)
        return self.__reduce__()

    def seed(self, a=None, version=2):
        if a is None and not host.awake:
            return  # componentize-py seeds the shared generator ahead of the first call
        _awake(self)
        self.seed(a, version)

    def setstate(self, state):
        _awake(self)
        self.setstate(state)


def _awake(generator):
    # A bound method of the unseeded class may have been taken away earlier (`from random import random`).
    if type(generator) is Unseeded:
        generator._wake()


def _seeded(generator):
    if type(generator) is Unseeded:
        generator._wake()
        generator.seed()


_names = ("random", "getrandbits", "getstate", "setstate", "seed")
_drawing = {}


def install(replacements):
    """Every generator in the snapshot becomes an unseeded one."""
    # Some are kept by modules that were imported before the collector looked at anything.
    held = [value for module in list(sys.modules.values()) for value in list(getattr(module, "__dict__", {}).values())]
    for thing in [*gc.get_objects(), *held]:
        if type(thing) is Random:
            thing.gauss_next = None
            thing.__class__ = Unseeded
    for name in _names:
        # Taken from the class, these were bound before the change.
        replacements.put(random, name, getattr(random._inst, name))
        _drawing[name] = random.__dict__[name]
