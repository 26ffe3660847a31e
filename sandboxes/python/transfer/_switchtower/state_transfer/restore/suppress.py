"""Suppresses what cells do again when they are run again: output, sleep, input, and running without end."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

from .errors import NotTransferable, TimeUp

_MISSING = object()


@contextlib.contextmanager
def suppress_output(shell: Any) -> Iterator[None]:
    """Drops what cells print. The streams themselves stay: programs keep them, loggers above all."""
    streams = (sys.stdout, sys.stderr)
    replaced: list[tuple[Any, str, Any]] = []
    display = sys.displayhook

    def put(owner: Any, name: str, new: Any) -> None:
        old = vars(owner).get(name, _MISSING) if hasattr(owner, "__dict__") else _MISSING
        with contextlib.suppress(Exception):
            setattr(owner, name, new)
            replaced.append((owner, name, old))

    def ignore(*_: object, **__: object) -> None:
        return None

    for stream in streams:
        put(stream, "write", lambda text: len(text))
    put(getattr(shell, "display_pub", None), "publish", ignore)
    put(getattr(shell, "display_pub", None), "clear_output", ignore)
    put(getattr(shell, "out", None), "send_row", ignore)
    descriptors = []
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        descriptors = [(number, os.dup(number)) for number in (1, 2)]
        for number, _ in descriptors:
            os.dup2(nowhere, number)
        os.close(nowhere)
    try:
        yield
    finally:
        for stream in (sys.__stdout__, sys.__stderr__):
            with contextlib.suppress(Exception):
                stream.flush()  # type: ignore[union-attr]
        for number, old in descriptors:
            os.dup2(old, number)
            os.close(old)
        replaced_streams = [name for name, own in zip(("stdout", "stderr"), streams) if getattr(sys, name) is not own]
        sys.stdout, sys.stderr = streams
        sys.displayhook = display
        for owner, name, old in reversed(replaced):
            if old is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, old)
    if replaced_streams:
        # The verdict is printed, so a stream that the program put there cannot stay.
        raise NotTransferable(
            f"the cells put another stream in the place of sys.{replaced_streams[0]}, which cannot be transferred"
        )


@contextlib.contextmanager
def skip_sleep(main: types.ModuleType) -> Iterator[None]:
    """Lets `time.sleep` return at once: the cells slept when they ran first."""
    # The module that programs see.
    clock: Any = sys.modules["time"]
    real, skips = clock.sleep, True

    def sleep(seconds: float, /) -> None:
        if not skips:
            return real(seconds)
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        return None

    clock.sleep = sleep
    try:
        yield
    finally:
        skips = False
        clock.sleep = real
        # A program may have taken it by name.
        for module in [main, *list(sys.modules.values())]:
            names = getattr(module, "__dict__", None)
            if type(names) is dict and (module is main or _is_program_module(module)):
                for name, value in list(names.items()):
                    if value is sleep:
                        names[name] = real


def skip_waits(loop: asyncio.AbstractEventLoop) -> None:
    """Lets the loop's clock jump where it would wait, so that tasks which sleep side by side wake in their order."""
    selector: Any = getattr(loop, "_selector", None)
    if selector is None:
        return
    clock, select, ahead = loop.time, selector.select, 0.0

    def select_at_once(timeout: float | None = None) -> Any:
        nonlocal ahead
        if timeout is not None and timeout > 0:
            ahead += timeout
            timeout = 0
        return select(timeout)

    loop.time = lambda: clock() + ahead  # type: ignore[method-assign]
    selector.select = select_at_once


def _is_program_module(module: types.ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and "/lib/python" not in file and "site-packages" not in file


@contextlib.contextmanager
def refuse_input(names: dict[str, Any]) -> Iterator[None]:
    """Lets `input` raise EOFError."""

    def read(prompt: object = "", /) -> str:
        raise EOFError("EOF when reading a line")

    old, mine = builtins.input, names.get("input")
    builtins.input = read
    if mine is not None:
        names["input"] = read
    try:
        yield
    finally:
        builtins.input = old
        if mine is not None and names.get("input") is read:
            names["input"] = mine


@contextlib.contextmanager
def interrupt_after(seconds: float) -> Iterator[None]:
    """Raises `TimeUp` after so many seconds. Only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "ITIMER_REAL"):
        yield
        return

    def ring(*_: object) -> None:
        raise TimeUp

    old = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if signal.getsignal(signal.SIGALRM) is ring:  # else it is the program's
            signal.signal(signal.SIGALRM, old)
