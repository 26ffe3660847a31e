"""Generators that every child of a zygote would share: each child seeds them anew."""

import random
import sys


def reseed():
    random.seed()
    for module, name in (("numpy.random.mtrand", "_rand"), ("sympy.core.random", "rng")):
        shared = getattr(sys.modules.get(module), name, None)
        if shared is not None:
            shared.seed()
    # It draws names for temporary files.
    if "tempfile" in sys.modules:
        sys.modules["tempfile"]._name_sequence = None
