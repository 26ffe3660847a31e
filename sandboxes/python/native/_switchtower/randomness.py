"""Seeds the random generators of a child: all children would share the zygote's."""

from __future__ import annotations

import random
import sys


def reseed() -> None:
    random.seed()
    for module, name in (("numpy.random.mtrand", "_rand"), ("sympy.core.random", "rng")):
        shared = getattr(sys.modules.get(module), name, None)
        if shared is not None:
            shared.seed()
    # It draws names for temporary files.
    if "tempfile" in sys.modules:
        sys.modules["tempfile"]._name_sequence = None
