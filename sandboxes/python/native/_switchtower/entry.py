"""What the executable calls: once in the zygote, once in each child, and then for each piece of code."""

from __future__ import annotations

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import (
    audit,
    failure,
    host,
    imports,
    interactive_shell,
    ipython,
    kernel,
    magic_functions,
    matplotlib_figures,
    own_modules,
    pandas_arrow,
    pip,
    plotly_figures,
    process_info,
    program,
    randomness,
    representations,
    result_data,
    scratch,
    shell,
    streams,
    tracebacks,
    warmup,
)
from .paths import HOME, PROGRAM
from .schema import CellResult, Change, Finished, KernelOptions, Raised
from .state_transfer.export import state

# One thread each: a child has few processors, and threads do not survive a fork.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
# How a cell is interrupted, from one cell to the next: programs may install another handler.
_interrupt: Any = signal.default_int_handler
# Memory that is freed when none is left, so that there is some to describe the error with.
_reserve: mmap.mmap | None = None
_RESERVE_BYTES = 1 << 20
# Seconds that the parts of `prepare` took.
took: dict[str, float] = {}

_Described = tuple[str, str, str, int | None]


def prepare(modules: Iterable[str]) -> list[str]:
    """Imports the packages and runs a little of everything. Returns what could not be imported, with the reason."""
    began = time.perf_counter()
    held = sys.stdin, sys.stdout, sys.stderr
    if not hasattr(importlib.import_module("builtins"), "exit"):
        importlib.import_module("site").setquit()
    os.environ.update(dict.fromkeys(_THREADS, "1"), JOBLIB_MULTIPROCESSING="0")
    failure.install()
    ipython.shell_for = shell.shell_for
    ipython.install(*interactive_shell.CLASSES, *magic_functions.CLASSES)
    representations.install()
    representations.structured = True
    matplotlib_figures.install()
    plotly_figures.install()
    result_data.install()
    result_data.use_orjson()
    with _hidden("pyarrow"):
        failed = [error for error in map(_import, [*warmup.STANDARD, *modules]) if error]
    if compat := sys.modules.get("pandas.compat"):
        # What pandas concluded of pyarrow: one that is missing is also an old one, which it would patch when it is used.
        compat.pa_version_under14p1 = False  # type: ignore[attr-defined]
    result_data.install_in_libraries()
    pandas_arrow.install()
    for name in (*_THREADS, "JOBLIB_MULTIPROCESSING"):
        os.environ.pop(name, None)
    took["import"] = time.perf_counter() - began
    imports.install()
    process_info.install()
    pip.install()
    kernel.reset()
    _warm_up_zygote()
    sys.stdin, sys.stdout, sys.stderr = held
    audit.install()
    # There may be another file system under these when a child is forked.
    for folder in [folder for folder in sys.path_importer_cache if folder == "" or scratch.is_own(folder)]:
        del sys.path_importer_cache[folder]
    took["all"] = time.perf_counter() - began
    state.remember_modules()
    own_modules.keep()
    gc.collect()
    gc.freeze()
    return failed


class _Hider:
    """Finds nothing, and lets nobody else find a package. `None` in `sys.modules` is a module for what Cython made."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == self._name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@contextlib.contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Hides a package from those that import it where it is installed."""
    hider = _Hider(name)
    sys.meta_path.insert(0, hider)  # type: ignore[arg-type]
    try:
        yield
    finally:
        sys.meta_path.remove(hider)  # type: ignore[arg-type]


def _import(name: str) -> str | None:
    """Returns why a module cannot be imported."""
    try:
        if name.partition(".")[0] == "matplotlib" and "matplotlib.pyplot" not in sys.modules:
            matplotlib_figures.load()
        importlib.import_module(name)
    except Exception as error:
        return f"{name}: {type(error).__name__}: {error}"
    return None


def _warm_up_zygote() -> None:
    with _isolated():
        for needed, code in warmup.PROGRAMS:
            if all(name in sys.modules for name in needed):
                streams.discard()
                began = time.perf_counter()
                warmup.ended[code] = _ended(lambda code=code: program.execute(code))  # type: ignore[misc]
                part = f"warm {needed[0] if needed else 'python'}"
                took[part] = took.get(part, 0) + time.perf_counter() - began
        for number, code in enumerate(warmup.CELLS, 1):
            streams.discard()
            cell = _Cell(code, number)
            warmup.ended[code] = _ended(lambda cell=cell: kernel.run(cell))  # type: ignore[misc]
    kernel.reset()
    matplotlib_figures.clear_caches()


@contextlib.contextmanager
def _isolated() -> Iterator[None]:
    """Lets programs of our own run without leaving anything behind."""
    main, path, run_exits = sys.modules["__main__"], sys.path[:], atexit._run_exitfuncs
    # What libraries register for the end is the children's.
    atexit._run_exitfuncs = lambda: None
    try:
        yield
        sys.stdout = sys.__stdout__
    finally:
        atexit._run_exitfuncs = run_exits
    sys.modules["__main__"] = main
    sys.path[:], sys.argv = path, [PROGRAM]
    linecache.clearcache()


def after_fork() -> None:
    """Makes a child independent of the others, right after the fork. What is written to here is no longer shared with
    the zygote, so little is."""
    global _reserve
    randomness.reseed()
    threading.main_thread()._set_native_id()  # type: ignore[attr-defined]
    streams.install()
    signal.signal(signal.SIGINT, _interrupt)
    _reserve = mmap.mmap(-1, _RESERVE_BYTES)


def warm_up() -> None:
    """Runs what nearly every program needs, in the child that is next, while it waits."""
    with _isolated():
        for needed, code in warmup.AHEAD:
            if all(name in sys.modules for name in needed):
                streams.discard()
                _ended(lambda code=code: program.execute(code))  # type: ignore[misc]
    streams.install()


def run_program(
    *, code: str, files: Sequence[tuple[str, bytes]], env: Mapping[str, str] | None, has_stdin: bool
) -> Finished | Raised:
    """Runs a program. Returns how it ended."""
    process_info.environment.begin(env or {})
    host.silent = False
    scratch.set_working_directory(HOME)

    def run() -> int:
        scratch.write_files(files)
        program.prefer_files(path for path, _ in files)
        return program.execute(code)

    return _ended(run)


class _Cell:
    """A cell as the kernel takes it."""

    def __init__(
        self,
        code: str,
        number: int,
        environment: Sequence[tuple[str, str]] = (),
        folder: str | None = None,
        has_stdin: bool = False,
        changes: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self.code, self.number, self.environment, self.folder = code, number, environment, folder
        self.has_stdin, self.changes = has_stdin, changes


def run_cell(
    *,
    options: tuple[Mapping[str, str] | None, str | None] | None,
    code: str,
    number: int,
    env: Mapping[str, str] | None,
    has_stdin: bool,
    changes: Sequence[tuple[str, Any]],
) -> CellResult:
    """Runs a cell. Returns how it ended, and what it changed in the files."""
    global _interrupt
    folder = _apply_options(options)
    host.silent = False
    signal.signal(signal.SIGINT, _interrupt)

    def run() -> int:
        try:
            kernel.run(_Cell(code, number, list((env or {}).items()), folder, has_stdin, changes))
        finally:
            matplotlib_figures.flush()
        return 0

    ending = _ended(run, tracebacks.describe)
    while True:
        try:
            # An interrupt that comes too late is not the next cell's.
            _interrupt = signal.signal(signal.SIGINT, _ignore_interrupt) or signal.SIG_DFL
            break
        except KeyboardInterrupt:
            pass
    return CellResult(ending, [Change(path, content) for path, content in scratch.take_changes()])


def _ignore_interrupt(number: int, frame: object) -> None:
    pass


def _apply_options(options: tuple[Mapping[str, str] | None, str | None] | None) -> str | None:
    """Makes this child a kernel, or updates a kernel that exists. Returns the folder in which the kernel starts."""
    if options is None and kernel.has_begun():
        return None
    given = KernelOptions(*(options or ({}, None)))
    if kernel.has_begun():
        os.environ.update(given.env or {})
        scratch.set_working_directory(given.folder or HOME)
        return None
    process_info.environment.begin(given.env or {})
    if "PIL.Image" not in sys.modules and not _import("PIL.Image"):
        result_data.install_in_libraries()
    pandas = sys.modules.get("pandas")
    if pandas is not None:
        # What pandas sees in a notebook: no terminal that would have a width.
        pandas.set_option("display.max_columns", 20)
    host.silent = False
    return given.folder or HOME


def run_internal(*, code: str, options: tuple[Mapping[str, str] | None, str | None] | None = None) -> Finished | Raised:
    """Runs code of the host's own, which sees the kernel and leaves it as it is. Returns how it ended."""
    folder = _apply_options(options)
    kernel.begin(folder)
    held, host.silent = host.silent, True
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)

    def run() -> int:
        try:
            with shell.available():
                kernel.run_internal(code)
        finally:
            # Of cells that were run again: they were shown where those ran first.
            matplotlib_figures.discard()
        return 0

    try:
        return _ended(run)
    finally:
        signal.signal(signal.SIGINT, interrupt or signal.SIG_DFL)
        host.silent = held


def _ended(
    run: Callable[[], Any], describe: Callable[[BaseException], _Described] = failure.describe
) -> Finished | Raised:
    """Runs a function. Returns how it ended."""
    try:
        return Finished("finished", run())
    except program.Raised as raised:
        return Raised("raised", *raised.args[0])
    except SystemExit as leaving:
        return Finished("finished", program.exit_code(leaving.code))
    except BaseException as error:
        described = error
        if isinstance(described, MemoryError):
            if _reserve is not None:
                _reserve.close()
            # Where describing the first one took the last memory, the first one is described.
            while isinstance(described.__context__, MemoryError):
                described = described.__context__
        return Raised("raised", *_described(described, describe))


def _described(error: BaseException, describe: Callable[[BaseException], _Described]) -> _Described:
    try:
        return describe(error)
    except BaseException:
        name = type(error).__name__
        return name, "", f"{name}\n", None
