"""Runs a notebook's cells one after another in one `__main__`, as IPython's kernel does.

Cells are run in a task of one event loop that lasts as long as the kernel: what one cell has begun goes on whenever a
later one awaits something.
"""

import ast
import builtins
import contextvars
import inspect
import linecache
import sys
import types
import warnings
import zlib

import __future__

from . import host, ipython, magics, scratch, show, streams, surroundings, tracebacks
from .paths import CELLS
from .clock import Loop
from .program import Raised, silenced

_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
# A cell's `from __future__ import` holds for those after it.
_FUTURE = __future__.annotations.compiler_flag | __future__.barry_as_FLUFL.compiler_flag
# Values that are kept in `Out`.
_MOST_KEPT = 1000

_read_line = builtins.input


class _Exit:
    """`exit` and `quit`."""

    def __init__(self, kernel):
        self._kernel = kernel

    def __call__(self, keep_kernel=False):
        self._kernel.leaving = True


_Exit.__name__ = _Exit.__qualname__ = "ZMQExitAutocall"
_Exit.__module__ = "IPython.core.autocall"


class Kernel:
    def __init__(self):
        self.main = types.ModuleType("__main__", "Automatically created module for IPython interactive environment")
        self.names = self.main.__dict__
        self.history, self.kept = [""], {}
        # The last three results and sources, as the kernel gave them: a cell may have taken the names for itself.
        self.results, self.sources = ["", "", ""], ["", "", ""]
        self.begun = self.leaving = self.reads = False
        self.future = 0
        self.loop = Loop()
        self.context = contextvars.copy_context()
        leave = _Exit(self)
        self.names.update(
            __builtins__=builtins, __builtin__=builtins, In=self.history, Out=self.kept, _ih=self.history,
            _oh=self.kept, _dh=[], get_ipython=ipython.get_ipython, exit=leave, quit=leave,
            **dict.fromkeys(("_", "__", "___", "_i", "_ii", "_iii"), ""),
        )  # fmt: skip
        # What the kernel put there itself is none of the cells' own.
        self.given = dict(self.names)

    def begin(self, folder):
        """Becomes the one kernel of this instance."""
        self.begun = True
        sys.modules["__main__"] = self.main
        builtins.__dict__.pop("_", None)
        builtins.display, builtins.input = ipython.display, self._input
        show.notebook = True
        sys.argv = ["ipykernel_launcher.py"]
        sys.path[:1] = [""]
        scratch.enter(folder)
        self.names["_dh"].append(scratch.tree.cwd)

    def run(self, code, number):
        """Runs a cell. `Raised` where an exception goes through."""
        if not code.strip():
            return
        asked = code.strip()
        self.number = number
        source = magics.straight(code)
        self._remember(code, source)
        if asked in ("exit", "quit") and self.names.get(asked) is self.given[asked]:
            self.leaving = True
        else:
            try:
                self._run(source)
            except BaseException as error:
                self._fail(error)
        if self.leaving:
            streams.flush()
            host.leave(0)

    def _remember(self, code, source):
        history, number = self.history, self.number
        # The first cell here may not be the session's first.
        history.extend([""] * (number - len(history)))
        history[number:] = [source.rstrip("\n")]
        names, sources = self.names, self.sources
        names["_i"], names["_ii"], names["_iii"] = sources
        self.sources = [code.rstrip("\n"), *sources[:2]]
        names[f"_i{number}"] = self.sources[0]

    def _run(self, source):
        magics.name_need(source, self.names)
        named = source.encode("utf-8", "surrogatepass")
        filename = f"{CELLS}{zlib.crc32(named)}.py"
        while filename in tracebacks.numbers:
            # Equal cells would share a name, and then nobody knew which one defined a function.
            named += b"\n"
            filename = f"{CELLS}{zlib.crc32(named)}.py"
        tracebacks.number(filename, self.number)
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        flags = _AWAIT | self.future
        tree, error = _parsed(source, filename, flags)
        if error is not None:
            source = magics.as_python(source, error)
            tree = compile(source, filename, "exec", ast.PyCF_ONLY_AST | flags, dont_inherit=True)
        codes, shown = [], False
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            shown = not silenced(source, tree.body[-1])
            last = ast.Expression(tree.body.pop().value)
        if tree.body:
            codes.append(compile(tree, filename, "exec", flags, dont_inherit=True))
            flags |= codes[0].co_flags & _FUTURE
            self.future = flags & _FUTURE
        if last is not None:
            codes.append(compile(last, filename, "eval", flags, dont_inherit=True))
        self._await(self._evaluate(codes, shown))

    async def _evaluate(self, codes, shown):
        """The exception that went through, or none: it must not go through the event loop."""
        value = None
        try:
            for code in codes:
                value = eval(code, self.names)
                if code.co_flags & inspect.CO_COROUTINE:
                    value = await value
            if shown and value is not None:
                self._show(value)
        except BaseException as error:
            return error

    def _await(self, work):
        # Unnamed tasks are counted, and a program's own count from one.
        task = self.loop.create_task(work, name="cell", context=self.context)
        error = None
        while not task.done():
            try:
                self.loop.run_until_complete(task)
            except SystemExit:
                pass  # another task's
            except KeyboardInterrupt as interrupt:
                # Another task's, where nobody is there who could interrupt.
                if host.INTERRUPTS:
                    error = interrupt
                    task.cancel()
            except RuntimeError as stuck:
                if task.done() or error is not None:
                    raise
                # The cell waits for what can never happen here.
                error = stuck
                task.cancel()
        error = error or task.result()
        if error is not None:
            raise error

    def _show(self, value):
        data = show.bundle(value)
        self._keep(value)
        if data:
            streams.flush()
            host.show(data, True)

    def _keep(self, value):
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

    def _drop_oldest(self):
        size = len(self.kept)
        count = max(size // 5, 2)
        warnings.warn(f"Output cache limit (currently {size} entries) hit.\nFlushing oldest {count} entries.")
        for number in sorted(self.kept)[:count]:
            self.names.pop(f"_{number}", None)
            del self.kept[number]

    def _fail(self, error):
        error.__traceback__ = _theirs(error.__traceback__)
        if isinstance(error, SystemExit):
            where = "/usr/local/lib/python3/site-packages/IPython/core/interactiveshell.py:3557"
            _tell(f"{where}: UserWarning: To exit: use 'exit', 'quit', or Ctrl-D.\n"
                  "  warn(\"To exit: use 'exit', 'quit', or Ctrl-D.\", stacklevel=1)\n")  # fmt: skip
        if isinstance(error, magics.UsageError):
            _tell(f"UsageError: {error}\n")
        try:
            told = tracebacks.describe(error)
        except MemoryError:
            told = ("MemoryError", "", "MemoryError", None)
        raise Raised(told) from None

    def _input(self, prompt="", /):
        """Read a string from standard input."""
        if not self.reads:
            raise ipython.StdinNotImplementedError(
                "raw_input was called, but this frontend does not support input requests."
            )
        return _read_line(prompt)


_Input = Kernel._input
_Input.__name__ = _Input.__qualname__ = "input"


def _parsed(source, filename, flags):
    """The tree, or what keeps the source from being Python."""
    try:
        return compile(source, filename, "exec", ast.PyCF_ONLY_AST | flags, dont_inherit=True), None
    except SyntaxError as error:
        return None, error


def _tell(text):
    try:
        sys.stderr.write(text)
    except Exception:
        pass  # the cell's own stream


def _theirs(tb):
    while tb is not None and not tb.tb_frame.f_code.co_filename.startswith(CELLS):
        tb = tb.tb_next
    return tb


_kernel = Kernel()


def run(cell):
    """Runs a cell as the host gave it."""
    kernel = _kernel
    host.forget()
    scratch.apply(cell.changes)
    if not kernel.begun:
        kernel.begin(cell.folder)
    scratch.remember()
    kernel.reads = cell.reads
    if cell.reads:
        streams.read_anew()
    surroundings.environment.lend(cell.environment)
    try:
        kernel.run(cell.code, cell.number)
    finally:
        surroundings.environment.take_back()
        streams.flush()
        streams.mend()


def own(code):
    """Runs code of the host's own. What it raises, this raises."""
    names = {"__name__": "__own__", "__builtins__": builtins}
    held = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    streams.mend()
    try:
        exec(compile(code, "<own>", "exec", dont_inherit=True), names)
    finally:
        streams.flush()
        sys.stdout, sys.stderr = held
        streams.mend()


def names():
    """The namespace of the cells, and what the kernel itself has put there."""
    return _kernel.names, _kernel.given


def forget():
    """A kernel that nothing has run in."""
    global _kernel
    _kernel.loop.close()
    _kernel = Kernel()
    show.notebook = False
    builtins.display, builtins.input = show.display, _read_line
    builtins.__dict__.pop("_", None)
    tracebacks.forget()
    scratch.forget()
