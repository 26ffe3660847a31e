"""The guest: it runs one program and tells how it ended.

Importing this module makes the snapshot, so the order below matters: first everything is imported from the real file
system, then the ways out are replaced, then a few programs warm the interpreter up, and what is left is frozen.
"""

import atexit
import gc
import linecache
import logging
import sys

import wit_world
from wit_world import Ending_Finished, Ending_Raised, Failure

from _switchtower import (
    HOME, absent, chance, clock, errors, failure, hashing, holes, host, library, program, scratch, show, snapshot,
    streams, surroundings, warm,
)
from _switchtower.replace import Replacements


class WitWorld(wit_world.WitWorld):
    def execute(self, code, files):
        host.awake = True
        scratch.give(files)
        try:
            return Ending_Finished(program.execute(code))
        except program.Raised as raised:
            return Ending_Raised(Failure(*raised.args[0]))


def settle():
    """Runs the warm-up programs until the interpreter has specialised itself, then forgets them."""
    main = sys.modules["__main__"]
    for code in warm.PROGRAMS * 3:
        streams.silence()
        scratch.clear()
        try:
            program.execute(code)
        except program.Raised:
            pass
    sys.modules["__main__"] = main
    linecache.cache.clear()
    scratch.clear()


snapshot.load()
library.keep("/python")
library.keep("/1")
replacements = Replacements()
errors.install(replacements)
scratch.install(replacements)
clock.install(replacements)
surroundings.install(replacements)
absent.install(replacements)
hashing.install()
failure.install()
library.install()
library.forget(library.ABSENT)
show.install()
chance.install(replacements)
replacements.spread(keep=(absent, sys.modules["_switchtower.scratch.files"], streams))
del replacements
settle()
chance.install(Replacements())
streams.install()
# The warm-up ran what was to run at its end.
atexit.register(logging.shutdown)
sys.path[:] = [HOME]
for _ in range(3):
    gc.collect()
holes.plug()
gc.freeze()
