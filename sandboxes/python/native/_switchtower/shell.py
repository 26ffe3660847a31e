"""What code of the host's own finds in the place of IPython's shell: enough to restore a session.

The cells of such a session are run again by that code. They are to be the kernel's cells afterwards: with their
numbers, with `_`, `_i` and `Out` as if the kernel had run them.
"""

import ast
import contextlib
import linecache
import types
import zlib
from collections.abc import Iterator
from typing import Any

from . import imports, kernel, magics, representations, tracebacks
from .paths import CELLS, is_program

# Set while code of the host's own runs.
_shell = None


def shell_for(file: str) -> Any:
    """Returns the shell that the code of a file gets. Of the libraries sympy gets it, which registers formatters; for the
    others, which would display with it what only a browser can, there is none."""
    if _shell is not None and not file.startswith("/"):
        return _shell
    own = is_program(file) or imports.is_program_file(file) or "/sympy/interactive/" in file
    return kernel.shell() if representations.notebook and own else None


@contextlib.contextmanager
def available() -> Iterator[None]:
    """Lets code of the host's own find a shell."""
    global _shell
    _shell = Shell()
    try:
        yield
    finally:
        shell, _shell = _shell, None
        shell.leave()


class Compiler:
    """Compiles cells. A `from __future__ import` holds for those after it."""

    def __init__(self) -> None:
        self.flags = 0

    def __call__(self, source: Any, filename: str, mode: str) -> types.CodeType:
        code: types.CodeType = compile(source, filename, mode, self.flags, dont_inherit=True)
        self.flags |= code.co_flags & kernel._FUTURE
        return code

    @contextlib.contextmanager
    def extra_flags(self, flags: int) -> Iterator[None]:
        before = self.flags
        self.flags |= flags
        try:
            yield
        finally:
            self.flags = before | self.flags & kernel._FUTURE

    def cache(self, code: str, number: int, raw_code: Any = None) -> Any:
        named = (raw_code or code).encode("utf-8", "surrogatepass")
        while (filename := f"{CELLS}{zlib.crc32(named)}.py") in tracebacks.cell_numbers:
            named += b"\n"
        tracebacks.set_cell_number(filename, number)
        linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
        return filename


class History:
    """The last three sources."""

    def __init__(self) -> None:
        self._i00 = self._i = self._ii = ""
        self.input_hist_raw: list[str] = []


class Hook:
    """The last three results."""

    def __init__(self, results: Any) -> None:
        self._, self.__, self.___ = results


class Shell:
    def __init__(self) -> None:
        self.compile, self.history_manager, self.displayhook = Compiler(), History(), Hook(kernel._kernel.results)
        self.execution_count = None

    def transform_cell(self, source: str) -> Any:
        code = magics.as_python(magics.normalize(source), kernel._kernel.names)
        try:
            ast.parse(code)
        except SyntaxError as error:
            try:
                compile(code, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            except SyntaxError:
                with contextlib.suppress(SyntaxError):
                    return magics.to_python(code, error)
        return code

    def leave(self) -> None:
        """Passes what was run on to the kernel, where something was."""
        if self.execution_count is None:
            return
        one, history, hook = kernel._kernel, self.history_manager, self.displayhook
        one.future |= self.compile.flags & kernel._FUTURE
        one.results = [getattr(hook, name) for name in ("_", "__", "___")]
        one.sources = [history._i00, history._i, history._ii]
        one.names.update(zip(("_i", "_ii", "_iii"), one.sources))
