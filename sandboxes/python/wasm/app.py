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
from wit_world import (
    Change, Content_File, Content_Folder, Content_Gone, Ending_Finished, Ending_Raised, Failure, Left,
)

from _switchtower import (
    absent, carry, chance, clock, errors, failure, hashing, holes, host, ipython, kernel, library, program, scratch,
    show, snapshot, streams, surroundings, warm,
)
from _switchtower.paths import HOME
from _switchtower.replace import Replacements


class WitWorld(wit_world.WitWorld):
    def execute(self, code, files):
        host.awake = True
        scratch.give(files)
        try:
            return Ending_Finished(program.execute(code))
        except program.Raised as raised:
            return Ending_Raised(Failure(*raised.args[0]))

    def cell(self, cell):
        host.awake = True
        cell.changes = [(change.path, _content(change.content)) for change in cell.changes]
        try:
            kernel.run(cell)
            ending = Ending_Finished(0)
        except program.Raised as raised:
            ending = Ending_Raised(Failure(*raised.args[0]))
        return Left(ending, [Change(path, _told(content)) for path, content in scratch.made()])

    def own(self, code):
        host.awake = True
        try:
            kernel.own(code)
            return Ending_Finished(0)
        except SystemExit as leaving:
            return Ending_Finished(program.exit_code(leaving.code))
        except BaseException as error:
            return Ending_Raised(Failure(*failure.describe(error)))


def _content(content):
    """What became of a path, in the scratch file system's words."""
    if isinstance(content, Content_File):
        return content.value
    return scratch.FOLDER if isinstance(content, Content_Folder) else scratch.GONE


def _told(content):
    if content is scratch.FOLDER:
        return Content_Folder()
    return Content_Gone() if content is scratch.GONE else Content_File(content)


def settle():
    """Runs the warm-up programs and cells until the interpreter has specialised itself, then forgets them."""
    main = sys.modules["__main__"]
    for code in warm.PROGRAMS * 3:
        streams.silence()
        scratch.clear()
        try:
            program.execute(code)
        except program.Raised:
            pass
    for number, code in enumerate(warm.CELLS * 3, 1):
        streams.silence()
        try:
            kernel.run(warm.Cell(code, number))
        except program.Raised:
            pass
        scratch.made()
    kernel.forget()
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
ipython.install()
chance.install(replacements)
replacements.spread(keep=(absent, sys.modules["_switchtower.scratch.files"], streams))
del replacements
settle()
chance.install(Replacements())
streams.install()
# The warm-up ran what was to run at its end.
atexit.register(logging.shutdown)
sys.path[:] = [HOME]
carry.settle()
for _ in range(3):
    gc.collect()
holes.plug()
gc.freeze()
