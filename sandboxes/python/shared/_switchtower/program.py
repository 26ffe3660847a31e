"""Runs one program in a fresh `__main__`."""

import ast
import asyncio
import atexit
import builtins
import inspect
import linecache
import sys
import types

from . import failure, show, streams, surroundings
from .paths import PROGRAM

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


class Raised(Exception):
    """Carries what `failure.describe` tells."""


def execute(code):
    """The exit code. `Raised` where an exception goes through."""
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins
    sys.modules["__main__"] = main
    linecache.cache[PROGRAM] = (len(code), None, code.splitlines(True), PROGRAM)
    status = 0
    try:
        try:
            _run(code, main.__dict__)
        finally:
            surroundings.wind_up()
            atexit._run_exitfuncs()
            if "__del__" in code or "finalize" in code:
                main.__dict__.clear()  # finalisers that a process would run at its end
    except SystemExit as leaving:
        status = exit_code(leaving.code)
    except BaseException as error:
        error.__traceback__ = _theirs(error.__traceback__)
        told = failure.describe(error)
        streams.flush()
        raise Raised(told) from None
    streams.flush()
    return status


def _run(code, names):
    tree = compile(code, PROGRAM, "exec", ast.PyCF_ONLY_AST | _FLAGS)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not silenced(code, tree.body[-1]):
        last = ast.Expression(tree.body.pop().value)
    if tree.body:
        _evaluate(compile(tree, PROGRAM, "exec", _FLAGS), names)
    if last is not None:
        show.main(_evaluate(compile(last, PROGRAM, "eval", _FLAGS), names))


def _evaluate(compiled, names):
    value = eval(compiled, names)
    if compiled.co_flags & inspect.CO_COROUTINE:
        value = asyncio.run(value)
    return value


def silenced(code, last):
    """A semicolon behind the last expression keeps it from being shown, as in a notebook."""
    if ";" not in code[-200:]:
        return False
    lines = code.splitlines()
    rest = lines[last.end_lineno - 1].encode()[last.end_col_offset:].decode("utf-8", "replace")
    return rest.lstrip().startswith(";")


def exit_code(code):
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _theirs(tb):
    while tb is not None and tb.tb_frame.f_code.co_filename != PROGRAM:
        tb = tb.tb_next
    return tb
