"""Sleeping: it moves the program's own clock and takes no time. Reads of the clock go to WASI, where the host sees them."""

from __future__ import annotations

import asyncio
import asyncio.base_events
import asyncio.events
import os
import socket
import threading
import time
from typing import Any

from . import host
from .replacements import Replacements


def sleep(seconds: float, /) -> None:
    """Delay execution for a given number of seconds. The argument may be a float for subsecond precision."""
    if isinstance(seconds, str) or not hasattr(seconds, "__float__") and not hasattr(seconds, "__index__"):
        raise TypeError(f"'{type(seconds).__name__}' object cannot be interpreted as an integer")
    seconds = float(seconds)
    if seconds != seconds:
        raise ValueError("Invalid value NaN (not a number)")
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    if seconds > 9_000_000_000:
        raise OverflowError("timestamp out of range for platform time_t")
    host.sleep(int(seconds * 1e9))


def wait(self: Any, timeout: Any = None) -> bool:
    """Wait until notified or until a timeout occurs."""
    if not self._is_owned():
        raise RuntimeError("cannot wait on un-acquired lock")
    # There is no other thread that could notify: waiting is sleeping, and without a limit for ever.
    host.sleep(2**63 - 1 if timeout is None else max(0, int(timeout * 1e9)))
    return False


def times() -> Any:
    """Return a collection containing process timing information."""
    now = time.perf_counter()
    return os.times_result((now, 0.0, 0.0, 0.0, now))


class _Nothing:
    """A selector with nothing to select: waiting is sleeping."""

    def select(self, timeout: Any) -> list[Any]:
        if timeout is None:
            raise RuntimeError("the event loop waits for something that can never happen here")
        if timeout > 0:
            host.sleep(int(timeout * 1e9) + 1)
        return []

    def get_map(self) -> dict[Any, Any]:
        return {}

    def close(self) -> None:
        pass


class EventLoop(asyncio.base_events.BaseEventLoop):
    """An event loop that needs no sockets."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Nothing()

    async def sock_connect(self, sock: Any, address: Any) -> None:
        sock.connect(address)

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: Any = 0, type: Any = 0, proto: Any = 0, flags: int = 0
    ) -> Any:
        return socket.getaddrinfo(host, port, family, type, proto, flags)

    def _process_events(self, events: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


class Loop(EventLoop):
    """The event loop of a kernel. It looks at the clock only where something waits for a time."""

    # For the transfer of a session.
    is_of_kernel = True

    def _run_once(self) -> Any:
        if self._scheduled or not self._ready:
            return super()._run_once()
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle._cancelled:
                handle._run()
        handle = None


def install(replacements: Replacements) -> None:
    replacements.put(time, "sleep", sleep)
    # The processor's time counts from the making of the snapshot; a program's own begins with it.
    replacements.put(time, "process_time", time.perf_counter)
    replacements.put(time, "process_time_ns", time.perf_counter_ns)
    replacements.put(os, "times", times)
    threading.Condition.wait = wait
    policy = asyncio.events._get_event_loop_policy()
    type(policy)._loop_factory = policy._loop_factory = EventLoop
    asyncio.new_event_loop = asyncio.events.new_event_loop = EventLoop
    asyncio.SelectorEventLoop = EventLoop
    asyncio.EventLoop = EventLoop
