"""The guest: runs one program, or the cells of one kernel, and returns how they ended.

Importing this module makes the snapshot, so the order below matters: first everything is imported from the real file
system, then what leads out of the sandbox is replaced, then a few programs warm the interpreter up, and what is left is frozen.
"""

from __future__ import annotations

import atexit
import gc
import linecache
import logging
import sys
from collections.abc import Sequence
from typing import Any

import wit_world
from _switchtower import (
    clock,
    failure,
    hashing,
    heap,
    host,
    imports,
    interactive_shell,
    ipython,
    kernel,
    magic_functions,
    os_errors,
    own_modules,
    process_info,
    program,
    randomness,
    representations,
    scratch,
    snapshot,
    streams,
    unsupported,
    warmup,
)
from _switchtower.paths import HOME
from _switchtower.replacements import Replacements
from _switchtower.state_transfer.export import state
from wit_world import (
    CellResult,
    Change,
    Content_File,
    Content_Folder,
    Content_Removed,
    Ending_Finished,
    Ending_Raised,
    Failure,
)


class WitWorld(wit_world.WitWorld):
    def execute(self, code: str, files: Sequence[Any]) -> Any:
        host.awake = True
        scratch.write_files(files)
        program.prefer_files(file.path for file in files)
        try:
            return Ending_Finished(program.execute(code))
        except program.Raised as raised:
            return Ending_Raised(Failure(*raised.args[0]))

    def run_cell(self, cell: Any) -> Any:
        host.awake = True
        cell.changes = [(change.path, _scratch_content(change.content)) for change in cell.changes]
        try:
            kernel.run(cell)
            ending = Ending_Finished(0)
        except program.Raised as raised:
            ending = Ending_Raised(Failure(*raised.args[0]))
        return CellResult(ending, [Change(path, _wire_content(content)) for path, content in scratch.take_changes()])

    def run_internal(self, code: str) -> Any:
        host.awake = True
        try:
            kernel.run_internal(code)
            return Ending_Finished(0)
        except SystemExit as leaving:
            return Ending_Finished(program.exit_code(leaving.code))
        except BaseException as error:
            return Ending_Raised(Failure(*failure.describe(error)))


def _scratch_content(content: Any) -> Any:
    """Returns the content of a path as the scratch file system has it."""
    if isinstance(content, Content_File):
        return content.value
    return scratch.FOLDER if isinstance(content, Content_Folder) else scratch.REMOVED


def _wire_content(content: Any) -> Any:
    if content is scratch.FOLDER:
        return Content_Folder()
    return Content_Removed() if content is scratch.REMOVED else Content_File(content)


def warm_up() -> None:
    """Runs the warm-up programs and cells until the interpreter has specialised itself, and removes their traces."""
    main = sys.modules["__main__"]
    for code in warmup.PROGRAMS * 3:
        streams.discard()
        scratch.clear()
        try:
            program.execute(code)
        except program.Raised:
            pass
    for number, code in enumerate(warmup.CELLS * 3, 1):
        streams.discard()
        try:
            kernel.run(warmup.Cell(code, number))
        except program.Raised:
            pass
        scratch.take_changes()
    kernel.reset()
    sys.modules["__main__"] = main
    linecache.cache.clear()
    scratch.clear()


snapshot.load()
imports.keep_sources("/python")
imports.keep_sources("/1")
replacements = Replacements()
os_errors.install(replacements)
scratch.install(replacements)
clock.install(replacements)
process_info.install(replacements)
unsupported.install(replacements)
hashing.install()
failure.install()
imports.install()
imports.drop_modules(imports.MISSING)
representations.install()
ipython.install(*interactive_shell.CLASSES, *magic_functions.CLASSES)
randomness.install(replacements)
replacements.spread(keep=(unsupported, sys.modules["_switchtower.scratch.files"], streams))
del replacements
warm_up()
randomness.install(Replacements())
streams.install()
# The warm-up ran what was to run at its end.
atexit.register(logging.shutdown)
sys.path[:] = [HOME]
state.remember_modules()
own_modules.keep()
for _ in range(3):
    gc.collect()
heap.fill_free_blocks()
gc.freeze()
