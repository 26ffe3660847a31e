"""Runs a notebook's cells one after another in one `__main__`, as IPython's kernel does.

Cells are run in a task of one event loop that lasts as long as the kernel: tasks that one cell starts continue whenever a
later one awaits something.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import contextlib
import contextvars
import inspect
import linecache
import sys
import types
import warnings
import zlib
from collections.abc import Coroutine, Iterator
from typing import Any

from . import (
    host,
    interactive_shell,
    ipython,
    magic_registry,
    magics,
    process_info,
    reloader,
    representations,
    scratch,
    streams,
    tracebacks,
)
from .clock import Loop
from .paths import CELLS
from .program import Raised, ends_with_semicolon

_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
# A cell's `from __future__ import` holds for those after it.
_FUTURE = __future__.annotations.compiler_flag | __future__.barry_as_FLUFL.compiler_flag
# Values that are kept in `Out`.
_MOST_KEPT = 1000

_read_line = builtins.input


class _Exit:
    """`exit` and `quit`, which ask the client to leave. As with E2B nobody listens: the kernel and its values stay."""

    def __call__(self, keep_kernel: bool = False) -> None:
        pass


_Exit.__name__ = _Exit.__qualname__ = "ZMQExitAutocall"
_Exit.__module__ = "IPython.core.autocall"


class Kernel:
    def __init__(self) -> None:
        self.main = types.ModuleType("__main__", "Automatically created module for IPython interactive environment")
        self.names = self.main.__dict__
        self.history = [""]
        self.kept: dict[int, Any] = {}
        # The last three results and sources, as the kernel gave them: a cell may have taken the names for itself.
        self.results, self.sources = ["", "", ""], ["", "", ""]
        self.has_begun = self.has_stdin = False
        self.future = 0
        self.loop = Loop()
        self.context = contextvars.copy_context()
        self.shell = interactive_shell.ZMQInteractiveShell(self)
        self.reloader = reloader.Reloader()
        self.number = 0
        leave = _Exit()
        self.names.update(
            __builtins__=builtins, __builtin__=builtins, In=self.history, Out=self.kept, _ih=self.history,
            _oh=self.kept, _dh=[], get_ipython=ipython.get_ipython, exit=leave, quit=leave,
            **dict.fromkeys(("_", "__", "___", "_i", "_ii", "_iii"), ""),
        )  # fmt: skip
        # Names that the kernel itself bound.
        self.given = dict(self.names)

    def begin(self, folder: str | None) -> None:
        """Makes this the one kernel of this instance."""
        self.has_begun = True
        sys.modules["__main__"] = self.main
        builtins.__dict__.pop("_", None)
        builtins.display, builtins.input = ipython.display, self._input
        builtins.get_ipython = ipython.get_ipython  # type: ignore[attr-defined]
        ipython.current_shell = self.shell
        representations.notebook = True
        sys.argv = ["ipykernel_launcher.py"]
        sys.path[:1] = [""]
        scratch.set_working_directory(folder)
        self.names["_dh"].append(scratch.tree.cwd)

    def run(self, code: str, number: int) -> None:
        """Runs a cell. Raises `Raised` where an exception goes through."""
        if not code.strip():
            return
        self.number = number
        source = magics.normalize(code)
        self._remember(code, source)
        command = code.strip()
        if command in ("exit", "quit") and self.names.get(command) is self.given[command]:
            return
        try:
            self._run(source)
        except BaseException as error:
            self._fail(error)

    def _remember(self, code: str, source: str) -> None:
        history, number = self.history, self.number
        # The first cell here may not be the session's first.
        history.extend([""] * (number - len(history)))
        history[number:] = [source.rstrip("\n")]
        names, sources = self.names, self.sources
        names["_i"], names["_ii"], names["_iii"] = sources
        self.sources = [code.rstrip("\n"), *sources[:2]]
        names[f"_i{number}"] = self.sources[0]

    def _run(self, source: str) -> None:
        source, surrounding = magics.split_cell(source, self.names)
        codes, shown = self._compiled(source)
        around = [magic_registry.surround(self, name, line) for name, line in surrounding]
        self.reloader.before_cell()
        try:
            self._await(self._evaluate(codes, shown, around))
        finally:
            self.reloader.after_cell()

    def _compiled(self, source: str) -> tuple[list[types.CodeType], bool]:
        """Returns the code of a cell, its last expression by itself, and whether the value of that is shown."""
        named = source.encode("utf-8", "surrogatepass")
        filename = f"{CELLS}{zlib.crc32(named)}.py"
        while filename in tracebacks.cell_numbers:
            # Equal cells would share a name, and then the one that defined a function could not be identified.
            named += b"\n"
            filename = f"{CELLS}{zlib.crc32(named)}.py"
        tracebacks.set_cell_number(filename, self.number)
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        flags = _AWAIT | self.future
        tree, error = _parsed(source, filename, flags)
        if error is not None:
            source = magics.to_python(source, error)
            tree = compile(source, filename, "exec", ast.PyCF_ONLY_AST | flags, dont_inherit=True)
        codes, shown = [], False
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            shown = not ends_with_semicolon(source, tree.body[-1])
            last = ast.Expression(tree.body.pop().value)
        if tree.body:
            codes.append(compile(tree, filename, "exec", flags, dont_inherit=True))
            flags |= codes[0].co_flags & _FUTURE
            self.future = flags & _FUTURE
        if last is not None:
            codes.append(compile(last, filename, "eval", flags, dont_inherit=True))
        return codes, shown

    async def _evaluate(self, codes: list[types.CodeType], shown: bool, around: list[Any]) -> BaseException | None:
        """Runs the code. Returns the exception that went through: it must not go through the event loop."""
        value = None
        keeping = max((number for number, each in enumerate(around, 1) if each.shows_within), default=0)
        try:
            with _entered(around[:keeping]):
                with _entered(around[keeping:]):
                    for code in codes:
                        value = eval(code, self.names)
                        if code.co_flags & inspect.CO_COROUTINE:
                            value = await value
                if shown and value is not None:
                    self._show(value)
        except BaseException as error:
            return error
        return None

    def run_within(self, name: str, line: str, source: str) -> Any:
        """Runs the cell of a surrounding magic that a cell calls. Returns its value, which is not shown."""
        source, inner = magics.split_cell(source, self.names)
        codes, shown = self._compiled(source)
        value = None
        with _entered([magic_registry.surround(self, *each) for each in ((name, line), *inner)]):
            for code in codes:
                if code.co_flags & inspect.CO_COROUTINE:
                    raise magic_registry.UsageError(f"%%{name} awaits nothing where it is called")
                value = eval(code, self.names)
        return value if shown else None

    def _await(self, work: Coroutine[Any, Any, BaseException | None]) -> None:
        # Unnamed tasks are counted, and a program's own count from one.
        task = self.loop.create_task(work, name="cell", context=self.context)
        error: BaseException | None = None
        while not task.done():
            try:
                self.loop.run_until_complete(task)
            except SystemExit:
                pass  # another task's
            except KeyboardInterrupt as interrupt:
                # Another task's, where the host cannot interrupt.
                if host.INTERRUPTS:
                    error = interrupt
                    task.cancel()
            except RuntimeError as stuck:
                if task.done() or error is not None:
                    raise
                # The cell waits for something that can never happen here.
                error = stuck
                task.cancel()
            except BaseException:
                # A cell that was cancelled before it began.
                if error is None or not task.done():
                    raise
        error = error or task.result()
        if error is not None:
            raise error

    def _show(self, value: Any) -> None:
        data = representations.mime_bundle(value)
        self._keep(value)
        if data:
            streams.flush()
            host.show(data, True)

    def _keep(self, value: Any) -> None:
        names = self.names
        if value is self.kept:
            return
        if len(self.kept) >= _MOST_KEPT:
            self._drop_oldest()
        unders = ("_", "__", "___")
        untouched = all(names.get(name, last) is last for name, last in zip(unders, self.results))
        self.results = [value, *self.results[:2]]
        if untouched:
            names.update(zip(unders, self.results))
        names[f"_{self.number}"] = self.kept[self.number] = value

    def _drop_oldest(self) -> None:
        size = len(self.kept)
        count = max(size // 5, 2)
        warnings.warn(f"Output cache limit (currently {size} entries) hit.\nFlushing oldest {count} entries.")
        for number in sorted(self.kept)[:count]:
            self.names.pop(f"_{number}", None)
            del self.kept[number]

    def _fail(self, error: BaseException) -> None:
        error.__traceback__ = _of_cells(error.__traceback__)
        if isinstance(error, SystemExit):
            where = "/usr/local/lib/python3/site-packages/IPython/core/interactiveshell.py:3557"
            _write_error(f"{where}: UserWarning: To exit: use 'exit', 'quit', or Ctrl-D.\n"
                  "  warn(\"To exit: use 'exit', 'quit', or Ctrl-D.\", stacklevel=1)\n")  # fmt: skip
        if isinstance(error, magic_registry.UsageError):
            _write_error(f"UsageError: {error}\n")
        try:
            described = tracebacks.describe(error)
        except MemoryError:
            described = ("MemoryError", "", "MemoryError", None)
        if isinstance(error, magic_registry.UsageError):
            # What was written is all that IPython tells.
            described = (*described[:2], "", described[3])
        raise Raised(described) from None

    def _input(self, prompt: object = "", /) -> str:
        """Read a string from standard input."""
        if not self.has_stdin:
            raise ipython.StdinNotImplementedError(
                "raw_input was called, but this frontend does not support input requests."
            )
        return _read_line(prompt)


_Input = Kernel._input
_Input.__name__ = _Input.__qualname__ = "input"


@contextlib.contextmanager
def _entered(around: list[Any]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for each in around:
            stack.enter_context(each)
        yield


def _parsed(source: str, filename: str, flags: int) -> tuple[Any, SyntaxError | None]:
    """Returns the tree, or the syntax error."""
    try:
        return compile(source, filename, "exec", ast.PyCF_ONLY_AST | flags, dont_inherit=True), None
    except SyntaxError as error:
        return None, error


def _write_error(text: str) -> None:
    try:
        sys.stderr.write(text)
    except Exception:
        pass  # the cell's own stream


def _of_cells(tb: types.TracebackType | None) -> types.TracebackType | None:
    while tb is not None and not tb.tb_frame.f_code.co_filename.startswith(CELLS):
        tb = tb.tb_next
    return tb


_kernel = Kernel()


def run(cell: Any) -> None:
    """Runs a cell as the host gave it."""
    kernel = _kernel
    host.reset()
    scratch.apply(cell.changes)
    if not kernel.has_begun:
        kernel.begin(cell.folder)
    scratch.mark()
    kernel.has_stdin = cell.has_stdin
    if cell.has_stdin:
        streams.reset_input()
    process_info.environment.set_for_cell(cell.environment)
    try:
        kernel.run(cell.code, cell.number)
    finally:
        process_info.environment.restore()
        streams.flush()
        streams.restore()


def current() -> Kernel:
    """Returns the one kernel of this instance."""
    return _kernel


def has_begun() -> bool:
    """Returns whether a cell or code of the host's own ran in this kernel."""
    return _kernel.has_begun


def begin(folder: str | None) -> None:
    """Starts the kernel in a folder, unless it has started."""
    if not _kernel.has_begun:
        _kernel.begin(folder)


def run_internal(code: str) -> None:
    """Runs code of the host's own, in the context of the cells. Raises what it raises."""
    names = {"__name__": "__own__", "__builtins__": builtins}
    held = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    streams.restore()
    try:
        _kernel.context.run(exec, compile(code, "<own>", "exec", dont_inherit=True), names)
    finally:
        streams.flush()
        sys.stdout, sys.stderr = held
        streams.restore()


def names() -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the namespace of the cells, and what the kernel itself bound there."""
    return _kernel.names, _kernel.given


def shell() -> interactive_shell.InteractiveShell:
    """Returns what `get_ipython()` returns in a cell."""
    return _kernel.shell


def reset() -> None:
    """Makes a fresh kernel."""
    global _kernel
    _kernel.loop.close()
    _kernel = Kernel()
    representations.notebook, ipython.current_shell = False, None
    builtins.display, builtins.input = representations.display, _read_line
    for name in ("_", "get_ipython"):
        builtins.__dict__.pop(name, None)
    tracebacks.reset()
    scratch.reset()
