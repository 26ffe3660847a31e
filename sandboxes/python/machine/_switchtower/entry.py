"""The kernel's loop: takes what the host sends, runs it, and says how it ended."""

from __future__ import annotations

import atexit
import mmap
import os
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from typing import Any

from . import (
    descriptors,
    failure,
    host,
    imports,
    interactive_shell,
    interrupts,
    ipython,
    json_values,
    kernel,
    magic_functions,
    main_module,
    matplotlib_figures,
    own_imports,
    plotly_figures,
    process_info,
    program,
    representations,
    result_data,
    scratch,
    shell,
    streams,
    tracebacks,
)
from .wire import Wire, undisturbed

_RESERVE_BYTES = 1 << 20
# What functions that a session registered for its end may take, in seconds.
_LEAVING = 5.0
# How often the end of a piece of code is said anew. A handler can raise each time, but for so long only on purpose.
_MOST_TRIES = 10_000
# Memory that is freed when none is left, so that there is some to describe the error with.
_reserve: mmap.mmap | None = None


def serve() -> None:
    """Runs what the host sends until it closes the socket."""
    standard = descriptors.Standard()
    wire = host.wire = Wire()
    _prepare()
    wire.send({"ready": True})
    if wire.is_idle():
        # Nearly every session needs it from its first cell on; then it is there.
        own_imports.import_own("asyncio")
    own_imports.remember()
    while (message := _next(wire)) is not None:
        ending = _perform(message, standard)
        if not wire.is_own():
            _end_child(ending)
        _report(wire, ending)
    _leave()


def _next(wire: Wire) -> Any:
    """Returns the next message, whatever handlers of signals raise that a program installed."""
    while True:
        try:
            return wire.receive()
        except BaseException as error:
            _complain(error)


def _report(wire: Wire, ending: dict[str, Any]) -> None:
    """Says how a piece of code ended, once, whatever handlers of signals raise. Ends the process where nothing can be said."""
    is_told = False

    def tell() -> None:
        nonlocal is_told
        wire.send({"ended": ending})
        is_told = True

    for _ in range(_MOST_TRIES):
        try:
            undisturbed(tell)
        except BaseException as error:
            _complain(error)
        if is_told:
            return
    os._exit(1)


def _complain(error: BaseException) -> None:
    try:
        traceback.print_exception(type(error), error, error.__traceback__, file=sys.__stderr__)
    except BaseException:
        pass  # nobody can be told


def _prepare() -> None:
    process_info.GIVEN.clear()
    process_info.GIVEN.update(os.environ)
    sys.argv = [""]
    failure.install()
    ipython.shell_for = shell.shell_for
    ipython.install(*interactive_shell.CLASSES, *magic_functions.CLASSES)
    representations.install()
    representations.structured = True
    matplotlib_figures.install()
    plotly_figures.install()
    result_data.install()
    json_values.encode_faster = _encode_first
    imports.install({
        "matplotlib": _adapt_matplotlib, "matplotlib.pyplot": matplotlib_figures.adapt, "pandas": _adapt_pandas,
        "PIL.Image": lambda module: result_data.install_in_libraries(),
    })  # fmt: skip
    program.make_main = main_module.MainModule
    os.register_at_fork(after_in_child=_after_fork)
    streams.install()


def _encode_first(value: Any) -> str:
    """Finds out which encoder there is, and uses it."""
    json_values.encode_faster = None
    result_data.use_orjson()
    text = json_values.of_container(value)
    if text is None:
        raise TypeError("it has no JSON")
    return text


def _adapt_matplotlib(matplotlib: Any) -> None:
    if "MPLBACKEND" not in os.environ:
        matplotlib.use("agg")


def _adapt_pandas(pandas: Any) -> None:
    if representations.notebook:
        # What pandas sees in a notebook: no terminal that would have a width.
        pandas.set_option("display.max_columns", 20)


def _after_fork() -> None:
    """Takes the kernel out of a process that a program forked."""
    assert host.wire is not None
    host.wire.abandon()
    if kernel.has_begun():
        kernel.current()._fail = _end_raising  # type: ignore[method-assign]


def _end_raising(error: BaseException) -> None:
    """Ends a process that a cell forked, as the interpreter would."""
    code = 1
    if isinstance(error, SystemExit):
        code = program.exit_code(error.code)
    else:
        traceback.print_exception(type(error), error, error.__traceback__)
    streams.flush()
    os._exit(code)


def _end_child(ending: dict[str, Any]) -> None:
    """Ends a process that a program forked and that came to the program's end."""
    if ending["exit"] == "raised":
        print(ending["traceback"], file=sys.__stderr__)
    streams.flush()
    os._exit(ending.get("code", 1))


def _leave() -> None:
    """Ends the process after what the session registered for that, within a time."""

    def end() -> None:
        time.sleep(_LEAVING)
        os._exit(0)

    try:
        threading.Thread(target=end, daemon=True).start()
        atexit._run_exitfuncs()
        streams.flush()
    finally:
        os._exit(0)


def _perform(message: dict[str, Any], standard: descriptors.Standard) -> dict[str, Any]:
    """Runs a cell, a program or code of the host's own. Returns how it ended."""
    global _reserve
    if _reserve is None:
        try:
            _reserve = mmap.mmap(-1, _RESERVE_BYTES)
        except (OSError, MemoryError):
            pass
    ending = None
    try:
        standard.restore()
        if standard.give_input(message.get("stdin")):
            streams.reset_input()
        run, describe = _work(message)
        interrupts.allow()
        ending = _ended(run, describe)
    except BaseException as error:
        # An interrupt at the very beginning or end.
        if ending is None:
            ending = _raised(_described(error, failure.describe))
    interrupts.refuse()
    return ending


def _work(message: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[BaseException], Any]]:
    """Returns what is to be run, and what describes its exception."""
    kind, env = message["op"], message.get("env") or {}
    if kind == "cell":
        return lambda: _run_cell(message, env), tracebacks.describe
    if kind == "program":
        process_info.environment.begin(env)
        return lambda: program.execute(message["source"]), failure.describe
    return lambda: _run_internal(message), failure.describe


def _run_cell(message: dict[str, Any], env: dict[str, str]) -> int:
    folder = _apply_options(message.get("options"))
    cell = types.SimpleNamespace(
        code=message["source"], number=message["number"], environment=list(env.items()), folder=folder,
        has_stdin=message.get("stdin") is not None, changes=(),
    )  # fmt: skip
    try:
        kernel.run(cell)
    finally:
        matplotlib_figures.flush()
    return 0


def _apply_options(options: dict[str, Any] | None) -> str | None:
    """Sets the environment with which a kernel starts. Returns the folder in which it starts."""
    given = options or {}
    if options is not None:
        os.environ.update(given.get("env") or {})
        time.tzset()
    folder: str | None = given.get("folder")
    if kernel.has_begun():
        scratch.set_working_directory(folder)
    return folder


def _run_internal(message: dict[str, Any]) -> int:
    """Runs code of the host's own, which sees the kernel and leaves it as it is."""
    kernel.begin(_apply_options(message.get("options")))
    state = own_imports.import_transfer()
    state.set_known_modules(own_imports.known)
    held, host.silent = host.silent, True
    try:
        with shell.available():
            kernel.run_internal(message["code"])
    finally:
        # Of cells that were run again: they were shown where those ran first.
        matplotlib_figures.discard()
        host.silent = held
    return 0


def _ended(run: Callable[[], Any], describe: Callable[[BaseException], Any]) -> dict[str, Any]:
    """Runs a function. Returns how it ended."""
    global _reserve
    try:
        return {"exit": "finished", "code": run()}
    except program.Raised as raised:
        return _raised(raised.args[0])
    except SystemExit as leaving:
        return {"exit": "finished", "code": program.exit_code(leaving.code)}
    except BaseException as error:
        described = error
        if isinstance(described, MemoryError):
            if _reserve is not None:
                _reserve.close()
                _reserve = None
            # Where describing the first one took the last memory, the first one is described.
            while isinstance(described.__context__, MemoryError):
                described = described.__context__
        return _raised(_described(described, describe))


def _described(error: BaseException, describe: Callable[[BaseException], Any]) -> Any:
    try:
        return describe(error)
    except BaseException:
        name = type(error).__name__
        return name, "", f"{name}\n", None


def _raised(described: Any) -> dict[str, Any]:
    name, value, text, line = described
    return {"exit": "raised", "name": name, "value": value, "traceback": text, "line": line}
