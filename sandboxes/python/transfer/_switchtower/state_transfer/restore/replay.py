"""Runs the cells of a session again, in the kernel that this module is loaded in."""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextlib
import inspect
import linecache
import os
import sys
import time
import zlib
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from .errors import NotTransferable, TimeUp
from .files import apply_change, is_applied
from .source import TOP_LEVEL_AWAIT, dedent, ends_with_semicolon
from .suppress import interrupt_after, refuse_input, skip_sleep, skip_waits, suppress_output

if TYPE_CHECKING:
    from ..schema import Cell, RestoreRequest

# Names that the host binds in `__main__` while it calls us.
HOST_NAMES = ("_switchtower_restore",)


class Replay:
    """The cells, and the kernel in which they run again."""

    def __init__(self, request: RestoreRequest) -> None:
        self.cells, self.state = request["cells"], request["state"]
        self.files_in_use = request["files_in_use"]
        self.time_limit_s, self.home = request["time_limit_s"], request["home"]
        self.main = sys.modules["__main__"]
        self.names: dict[str, Any] = self.main.__dict__
        for name in HOST_NAMES:
            self.names.pop(name, None)
        shell = self.names.get("get_ipython") or getattr(builtins, "get_ipython", None)
        self.shell: Any = shell() if callable(shell) else None
        self.baseline, self.modules = frozenset(self.names), frozenset(sys.modules)
        # File name to number of the cell.
        self.files: dict[str, int | None] = {}
        # Number of a cell to its exception, in words.
        self.raised: dict[int, str] = {}
        self.environment = dict(os.environ)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._repeats: dict[str, int] = {}
        self._number: int | None = None

    def run(self) -> None:
        """Runs all cells. Raises `NotTransferable` where they take too long, or leave a task that still runs."""
        ends = time.monotonic() + self.time_limit_s
        with (
            suppress_output(self.shell),
            skip_sleep(self.main),
            refuse_input(self.names),
            interrupt_after(self.time_limit_s),
        ):
            try:
                for cell in self.cells:
                    self._number = cell["number"]
                    if time.monotonic() > ends:
                        raise TimeUp
                    self._run(cell)
                if self.loop is not None and asyncio.all_tasks(self.loop):
                    raise NotTransferable(
                        "a task that still runs can be neither replayed nor transferred", self._number
                    )
            except TimeUp:
                reason = f"running the cells again took longer than {self.time_limit_s} seconds"
                raise NotTransferable(reason, self._number) from None

    def _run(self, cell: Cell) -> None:
        for change in cell["changes"]:
            if not self.files_in_use:
                apply_change(change, self.home)
            elif not is_applied(change, self.home):
                reason = f"it was given {change['path']}, which is another by now"
                raise NotTransferable(reason, cell["number"])
        if cell["incomplete"]:
            return
        before = {name: os.environ.get(name) for name in cell["env"]}
        os.environ.update(cell["env"])
        self._invalidate_import_caches()
        try:
            value = self._evaluate(cell["code"], cell["number"])
            if value is not None:
                self._show(value, cell["number"])
        except TimeUp:
            raise
        except BaseException as error:
            self.raised[cell["number"]] = f"{type(error).__name__}: {str(error)[:200]}"
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def _invalidate_import_caches(self) -> None:
        """Lets imports look again for modules that a cell wrote. Only where it can have: elsewhere that takes long."""
        for folder, finder in list(sys.path_importer_cache.items()):
            if folder.startswith((self.home, "/tmp")) and "site-packages" not in folder:
                if finder is None:
                    del sys.path_importer_cache[folder]
                elif hasattr(finder, "invalidate_caches"):
                    finder.invalidate_caches()

    def _evaluate(self, source: str, number: int) -> Any:
        transform = getattr(self.shell, "transform_cell", None)
        code = transform(source) if transform else dedent(source)
        file = self._name_file(source, code, number)
        build = getattr(self.shell, "compile", None)
        if not hasattr(build, "extra_flags"):
            build = None
        tree = compile(code, file, "exec", ast.PyCF_ONLY_AST | TOP_LEVEL_AWAIT | (build.flags if build else 0), True)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not ends_with_semicolon(code, tree.body[-1]):
            last = ast.Expression(tree.body.pop().value)
        value = None
        for part, mode in ((tree, "exec"), (last, "eval")):
            if part is None or mode == "exec" and not part.body:
                continue
            if build:
                with build.extra_flags(TOP_LEVEL_AWAIT):
                    made = build(part, file, mode)
            else:
                made = compile(part, file, mode, TOP_LEVEL_AWAIT, True)
            value = eval(made, self.names)
            if made.co_flags & inspect.CO_COROUTINE:
                value = self._await(value)
        return value if last is not None else None

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs it in a loop of its own: the kernel's is busy running us."""
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            self.loop.is_of_replay = True  # type: ignore[attr-defined]
            skip_waits(self.loop)
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self.loop.run_until_complete(coroutine)
        finally:
            asyncio._set_running_loop(running)

    def _name_file(self, source: str, code: str, number: int) -> str:
        """Returns the file name under which tracebacks and `inspect` find the cell later."""
        # Equal cells would share a file name, and then the one that defined a function could not be identified.
        repeats = self._repeats[source] = self._repeats.get(source, -1) + 1
        source += "\n" * repeats
        cache = getattr(getattr(self.shell, "compile", None), "cache", None)
        if cache is not None:
            file: str = cache(code, number, raw_code=source)
        else:
            file = f"/tmp/ipykernel_{os.getpid()}/{zlib.crc32(source.encode('utf-8', 'replace'))}.py"
            linecache.cache[file] = (len(code), None, code.splitlines(True), file)
            if isinstance(getattr(self.shell, "cells", None), dict):
                self.shell.cells[file] = number
        self.files[file] = number
        return file

    def _show(self, value: Any, number: int) -> None:
        """Binds the names that a display hook binds."""
        names = self.names
        if value is names.get("Out"):
            return
        names.setdefault("Out", {})[number] = value
        names["___"], names["__"], names["_"] = names.get("__", ""), names.get("_", ""), value
        names[f"_{number}"] = value

    def set_execution_count(self) -> None:
        """Gives the client's next cell the number that it would have had; the host's own code counts as none."""
        last = max((cell["number"] for cell in self.cells), default=0)
        names, shell = self.names, self.shell
        sources = {cell["number"]: cell["code"] for cell in self.cells}
        if isinstance(names.get("In"), list):
            names["In"][:] = [sources.get(number, "") for number in range(last + 1)]
        for name in [name for name in names if name.startswith("_i") and name[2:].isdigit()]:
            if int(name[2:]) not in sources:
                del names[name]
        names.update((f"_i{number}", code) for number, code in sources.items())
        # The shell of a local kernel takes the numbers of its cells from its host: there it is a property.
        is_fixed = isinstance(getattr(type(shell), "execution_count", None), property)
        if hasattr(shell, "execution_count") and not is_fixed:
            shell.execution_count = last
        history = getattr(shell, "history_manager", None)
        if history is not None:
            recent = [sources.get(number, "") for number in range(last, last - 3, -1)]
            history._i00, history._i, history._ii = recent
            with contextlib.suppress(Exception):
                history.input_hist_raw[:] = names["In"]
        hook = getattr(shell, "displayhook", None)
        for name in ("_", "__", "___"):
            if name in names and hasattr(hook, name):
                setattr(hook, name, names[name])
