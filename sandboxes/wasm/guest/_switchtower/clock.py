"""Sleeping: it moves the program's own clock and holds nothing up. Reading the clock is WASI's, and the host sees it."""

import asyncio
import asyncio.base_events
import asyncio.events
import time

from . import host


def sleep(seconds, /):
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


class _Nothing:
    """A selector with nothing to select: waiting is sleeping."""

    def select(self, timeout):
        if timeout is None:
            raise RuntimeError("the event loop waits for something that can never happen here")
        if timeout > 0:
            host.sleep(int(timeout * 1e9) + 1)
        return []

    def get_map(self):
        return {}

    def close(self):
        pass


class EventLoop(asyncio.base_events.BaseEventLoop):
    """An event loop that needs no sockets."""

    def __init__(self):
        super().__init__()
        self._selector = _Nothing()

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass


def install(replacements):
    replacements.put(time, "sleep", sleep)
    policy = asyncio.events._get_event_loop_policy()
    type(policy)._loop_factory = policy._loop_factory = EventLoop
    asyncio.new_event_loop = asyncio.events.new_event_loop = EventLoop
    asyncio.SelectorEventLoop = EventLoop
    asyncio.EventLoop = EventLoop
