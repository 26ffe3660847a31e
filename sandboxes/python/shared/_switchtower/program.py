"""Runs one program in a fresh `__main__`."""

from __future__ import annotations

import ast
import atexit
import builtins
import inspect
import linecache
import posixpath
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any

from . import failure, process_info, representations, streams
from .paths import HOME, PROGRAM

# Modules beside those in C that CPython loads before the first line of a script.
_LOADED_AT_START = frozenset("abc codecs encodings genericpath io linecache os posixpath site stat zipimport".split())
_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


# Makes the module of a program.
make_main: Callable[[str], types.ModuleType] = types.ModuleType


class Raised(Exception):
    """An exception went through. Its argument is what `failure.describe` returned."""


def execute(code: str) -> int:
    """Runs a program. Returns its exit code, or raises `Raised` where an exception goes through."""
    # As a file may, the text may begin with a byte order mark.
    code = code.removeprefix("\ufeff")
    main = make_main("__main__")
    main.__builtins__ = builtins
    main.__dict__.update(__file__=PROGRAM, __cached__=None)
    sys.modules["__main__"] = main
    sys.argv, sys.orig_argv = [PROGRAM], ["python3", PROGRAM]
    linecache.cache[PROGRAM] = (len(code), None, code.splitlines(True), PROGRAM)
    status = 0
    try:
        try:
            if _names_its_file(code):
                _write_file(code)
            _run(code, main.__dict__)
        finally:
            process_info.before_exit()
            atexit._run_exitfuncs()
            if "__del__" in code or "finalize" in code:
                main.__dict__.clear()  # finalisers that a process would run at its end
    except SystemExit as leaving:
        status = exit_code(leaving.code)
    except BaseException as error:
        error.__traceback__ = _of_program(error.__traceback__)
        described = failure.describe(error)
        streams.flush()
        raise Raised(described) from None
    streams.flush()
    return status


def prefer_files(paths: Iterable[str]) -> None:
    """Lets an import find a program's files before modules of their names that are loaded already, for speed: the
    interpreter of a script has loaded few when it starts."""
    for path in paths:
        parts = posixpath.relpath(posixpath.join(HOME, path), HOME).split("/")
        name = parts[0].removesuffix(".py") if len(parts) == 1 else parts[0]
        is_module = parts[0].endswith(".py") if len(parts) == 1 else parts[1] == "__init__.py"
        if is_module and name not in _LOADED_AT_START and name not in sys.builtin_module_names:
            for loaded in [loaded for loaded in sys.modules if loaded == name or loaded.startswith(name + ".")]:
                del sys.modules[loaded]


def _names_its_file(code: str) -> bool:
    """Returns whether a program may look at its own file. For the others there is none, as in a notebook: a listing of
    the working directory shows the program's own files and nothing else."""
    return "__file__" in code or "argv" in code or "getsource" in code


def _write_file(code: str) -> None:
    try:
        with open(PROGRAM, "x", encoding="utf-8", errors="surrogatepass", newline="") as file:
            file.write(code)
    except OSError:
        pass  # a file that came with the program, or a folder that cannot be written to


def _run(code: str, names: dict[str, Any]) -> None:
    tree = compile(code, PROGRAM, "exec", ast.PyCF_ONLY_AST | _FLAGS)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not ends_with_semicolon(code, tree.body[-1]):
        last = ast.Expression(tree.body.pop().value)
    if tree.body:
        _evaluate(compile(tree, PROGRAM, "exec", _FLAGS), names)
    if last is not None:
        representations.show_result(_evaluate(compile(last, PROGRAM, "eval", _FLAGS), names))


def _evaluate(compiled: types.CodeType, names: dict[str, Any]) -> Any:
    value = eval(compiled, names)
    if compiled.co_flags & inspect.CO_COROUTINE:
        import asyncio

        value = asyncio.run(value)
    return value


def ends_with_semicolon(code: str, last: ast.Expr) -> bool:
    """Returns whether a semicolon follows the last expression: then its value is not shown, as in a notebook."""
    if ";" not in code[-200:]:
        return False
    assert last.end_lineno is not None
    lines = code.splitlines()
    rest = lines[last.end_lineno - 1].encode()[last.end_col_offset :].decode("utf-8", "replace")
    return rest.lstrip().startswith(";")


def exit_code(code: Any) -> int:
    """Returns the exit code of a `SystemExit`, and prints one that is text."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _of_program(tb: types.TracebackType | None) -> types.TracebackType | None:
    while tb is not None and tb.tb_frame.f_code.co_filename != PROGRAM:
        tb = tb.tb_next
    return tb
