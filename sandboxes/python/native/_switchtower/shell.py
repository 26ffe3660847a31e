"""What code of the host's own finds in the place of IPython's shell: enough for a session that arrives.

The cells of such a session are run again by that code. They are to be the kernel's cells afterwards: known by their
numbers, with `_`, `_i` and `Out` as if the kernel had run them.
"""

import ast
import contextlib
import linecache
import sys
import zlib

from . import host, kernel, library, magics, show, tracebacks
from .paths import CELLS, is_program

# There while code of the host's own runs.
_shell = None


def get_ipython():
    """The shell. A cell that wants it needs IPython; libraries ask only whether it is there."""
    file = sys._getframe(1).f_code.co_filename
    if _shell is not None:
        return None if file.startswith("/") else _shell
    if show.notebook and (is_program(file) or library.is_callers(file)):
        host.lack("LANGUAGE", "IPython's shell")
    return None


@contextlib.contextmanager
def lent():
    """A shell for the length of the host's own code."""
    global _shell
    _shell = Shell()
    try:
        yield
    finally:
        shell, _shell = _shell, None
        shell.leave()


class Compiler:
    """Compiles cells. A `from __future__ import` holds for those after it."""

    def __init__(self):
        self.flags = 0

    def __call__(self, source, filename, mode):
        code = compile(source, filename, mode, self.flags, dont_inherit=True)
        self.flags |= code.co_flags & kernel._FUTURE
        return code

    @contextlib.contextmanager
    def extra_flags(self, flags):
        held = self.flags
        self.flags |= flags
        try:
            yield
        finally:
            self.flags = held | self.flags & kernel._FUTURE

    def cache(self, code, number, raw_code=None):
        named = (raw_code or code).encode("utf-8", "surrogatepass")
        while (filename := f"{CELLS}{zlib.crc32(named)}.py") in tracebacks.numbers:
            named += b"\n"
        tracebacks.number(filename, number)
        linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
        return filename


class History:
    """The last three sources."""

    def __init__(self):
        self._i00 = self._i = self._ii = ""
        self.input_hist_raw = []


class Hook:
    """The last three results."""

    def __init__(self, results):
        self._, self.__, self.___ = results


class Shell:
    def __init__(self):
        self.compile, self.history_manager, self.displayhook = Compiler(), History(), Hook(kernel._kernel.results)
        self.execution_count = None

    def transform_cell(self, source):
        code = magics.straight(source)
        try:
            ast.parse(code)
        except SyntaxError as error:
            try:
                compile(code, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            except SyntaxError:
                with contextlib.suppress(SyntaxError):
                    return magics.as_python(code, error)
        return code

    def leave(self):
        """Tells the kernel what was run, where something was."""
        if self.execution_count is None:
            return
        one, history, hook = kernel._kernel, self.history_manager, self.displayhook
        one.future |= self.compile.flags & kernel._FUTURE
        one.results = [getattr(hook, name) for name in ("_", "__", "___")]
        one.sources = [history._i00, history._i, history._ii]
        one.names.update(zip(("_i", "_ii", "_iii"), one.sources))
