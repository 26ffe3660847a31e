"""What the executable calls: once in the zygote, once in each child, and then for each piece of code."""

import atexit
import contextlib
import gc
import importlib
import linecache
import mmap
import os
import signal
import sys
import threading
import time

from . import (
    carry, chance, failure, figures, host, ipython, kernel, library, needs, program as programs, scratch,
    shell, show, streams, surroundings, tracebacks, warm,
)  # fmt: skip
from .paths import HOME

# One thread each: a child has few processors, and threads do not survive a fork.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# How a cell is interrupted, from one cell to the next: programs may put another handler there.
_interrupt = signal.default_int_handler
# Memory that is let go where there is none left, so that there is some to tell of it; in bytes.
_reserve, _RESERVED = None, 1 << 20
# How long the parts of settling took, in seconds.
took = {}


def settle(modules):
    """Imports the packages and runs a little of everything. What could not be imported comes back, with the reason."""
    began = time.perf_counter()
    held = sys.stdin, sys.stdout, sys.stderr
    if not hasattr(importlib.import_module("builtins"), "exit"):
        importlib.import_module("site").setquit()
    os.environ.update(dict.fromkeys(_THREADS, "1"), JOBLIB_MULTIPROCESSING="0")
    failure.install()
    ipython.get_ipython = shell.get_ipython
    ipython.install()
    show.install()
    show.structured = True
    figures.install()
    failed = [told for told in map(_import, [*warm.STANDARD, *modules]) if told]
    for name in (*_THREADS, "JOBLIB_MULTIPROCESSING"):
        os.environ.pop(name, None)
    took["import"] = time.perf_counter() - began
    library.install()
    surroundings.install()
    kernel.forget()
    _warm()
    sys.stdin, sys.stdout, sys.stderr = held
    needs.install()
    # There may be another file system under these when a child is born.
    for folder in [folder for folder in sys.path_importer_cache if folder == "" or scratch.is_own(folder)]:
        del sys.path_importer_cache[folder]
    took["all"] = time.perf_counter() - began
    carry.settle()
    gc.collect()
    gc.freeze()
    return failed


def _import(name):
    try:
        if name.partition(".")[0] == "matplotlib" and "matplotlib.pyplot" not in sys.modules:
            figures.load()
        importlib.import_module(name)
    except Exception as error:
        return f"{name}: {type(error).__name__}: {error}"


def _warm():
    with _forgotten():
        for needed, code in warm.PROGRAMS:
            if all(name in sys.modules for name in needed):
                streams.silence()
                began = time.perf_counter()
                warm.ended[code] = _ended(lambda code=code: programs.execute(code))
                part = f"warm {needed[0] if needed else 'python'}"
                took[part] = took.get(part, 0) + time.perf_counter() - began
        for number, code in enumerate(warm.CELLS, 1):
            streams.silence()
            warm.ended[code] = _ended(lambda cell=_Cell(code, number): kernel.run(cell))
    kernel.forget()
    figures.forget()


@contextlib.contextmanager
def _forgotten():
    """Programs of our own run in here; nothing of them stays."""
    main, path, run_exits = sys.modules["__main__"], sys.path[:], atexit._run_exitfuncs
    # What libraries want to do at the end is the children's.
    atexit._run_exitfuncs = lambda: None
    try:
        yield
        sys.stdout = sys.__stdout__
    finally:
        atexit._run_exitfuncs = run_exits
    sys.modules["__main__"] = main
    sys.path[:], sys.argv = path, [HOME + "/main.py"]
    linecache.clearcache()


def born():
    """In a child, right after the fork: nothing of what follows is another child's too. What is touched here is no
    longer shared with the zygote, so little is."""
    global _reserve
    chance.reseed()
    threading.main_thread()._set_native_id()
    streams.install()
    signal.signal(signal.SIGINT, _interrupt)
    _reserve = mmap.mmap(-1, _RESERVED)


def warm_up():
    """In the child that is next, while it waits."""
    with _forgotten():
        for needed, code in warm.AHEAD:
            if all(name in sys.modules for name in needed):
                streams.silence()
                _ended(lambda code=code: programs.execute(code))
    streams.install()


def program(code, files, env, stdin_given):
    """How it ended: ("finished", code) or ("raised", name, value, traceback, line)."""
    surroundings.environment.begin(env or {})
    host.silent = False
    scratch.enter(HOME)

    def run():
        scratch.give(files)
        return programs.execute(code)

    return _ended(run)


class _Cell:
    """A cell as the kernel takes it."""

    def __init__(self, code, number, environment=(), folder=None, reads=False, changes=()):
        self.code, self.number, self.environment, self.folder = code, number, environment, folder
        self.reads, self.changes = reads, changes


def cell(opening, source, number, env, stdin_given, changes):
    """How it ended, as a program's end is told; and what it made of the files: pairs of a path and its content,
    `True` for a folder, `None` for what is gone."""
    global _interrupt
    folder = _open(opening)
    host.silent = False
    signal.signal(signal.SIGINT, _interrupt)

    def run():
        try:
            kernel.run(_Cell(source, number, list((env or {}).items()), folder, stdin_given, changes))
        finally:
            figures.flush()
        return 0

    ending = _ended(run, tracebacks.describe)
    while True:
        try:
            # An interrupt that comes too late is none of the next cell's.
            _interrupt = signal.signal(signal.SIGINT, _too_late) or signal.SIG_DFL
            break
        except KeyboardInterrupt:
            pass
    return ending, scratch.made()


def _too_late(number, frame):
    pass


def _open(opening):
    """Makes this child a kernel, or takes what was told late. The folder, where the kernel is to look at it."""
    if opening is None and kernel._kernel.begun:
        return None
    variables, folder = opening or ({}, None)
    if kernel._kernel.begun:
        os.environ.update(variables or {})
        scratch.enter(folder or HOME)
        return None
    surroundings.environment.begin(variables or {})
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        # What pandas sees in a notebook: no terminal that would have a width.
        pandas.set_option("display.max_columns", 20)
    host.silent = False
    return folder or HOME


def own(code, opening=None):
    """Runs code of the host's own, which sees the kernel and leaves it as it is. Its ending, as a program's."""
    folder = _open(opening)
    if not kernel._kernel.begun:
        kernel._kernel.begin(folder)
    held, host.silent = host.silent, True
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)

    def run():
        with shell.lent():
            kernel.own(code)
        return 0

    try:
        return _ended(run)
    finally:
        signal.signal(signal.SIGINT, interrupt or signal.SIG_DFL)
        host.silent = held


def _ended(run, describe=failure.describe):
    try:
        return "finished", run()
    except programs.Raised as raised:
        return "raised", *raised.args[0]
    except SystemExit as leaving:
        return "finished", programs.exit_code(leaving.code)
    except BaseException as error:
        if isinstance(error, MemoryError):
            if _reserve is not None:
                _reserve.close()
            # Where telling of the first one took the last memory, that one is to be told.
            while isinstance(error.__context__, MemoryError):
                error = error.__context__
        told = _described(error, describe)
    return "raised", *told


def _described(error, describe):
    try:
        return describe(error)
    except BaseException:
        name = type(error).__name__
        return name, "", f"{name}\n", None
