"""Forms of locks, of threads that ended, and of what waits for nothing."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import importlib
import re
import threading
import warnings
from typing import Any

from .forms import Form, Parts, no_attributes, set_by_program

_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())
_MISSING = "a value that is not set", 0


def make_lock(locked: bool) -> Any:
    made = threading.Lock()
    if locked:
        made.acquire()
    return made


def _parts_of_rlock(value: Any) -> Parts | None:
    """Returns how often the thread that asks holds a lock; None if another one holds it."""
    text = repr(value)
    if "unlocked" in text:
        return (0,)
    count = re.search(r"count=(\d+)", text)
    return (int(count[1]),) if count and value._is_owned() else None


def make_rlock(count: int) -> Any:
    made = threading.RLock()
    for _ in range(count):
        made.acquire()
    return made


def _parts_of_condition(value: Any) -> Parts | None:
    return None if value._waiters else (value._lock,)


def make_local(names: dict[str, Any]) -> Any:
    made = threading.local()
    vars(made).update(names)
    return made


def _parts_of_thread(value: Any) -> Parts | None:
    return (value.name, value.daemon) if value._started.is_set() and not value.is_alive() else None


def make_thread(name: str, daemon: bool) -> Any:
    """Returns a thread that ended."""
    made = threading.Thread(target=int, name=name, daemon=daemon)
    made.start()
    made.join()
    return made


def _parts_of_pool(value: Any) -> Parts | None:
    """Returns what a pool of threads is while none of them works."""
    with value._shutdown_lock:
        ended = all(not thread.is_alive() for thread in value._threads)
        idle = value._work_queue.empty() and value._idle_semaphore._value >= len(value._threads)
        if not (ended if value._shutdown else idle):
            return None
        return value._max_workers, value._thread_name_prefix, value._shutdown, value._initializer, value._initargs


def make_pool(workers: int, prefix: str, ended: bool, begin: Any, arguments: Parts) -> Any:
    made = importlib.import_module("concurrent.futures").ThreadPoolExecutor(workers, prefix, begin, arguments)
    if ended:
        made.shutdown()
    return made


def _parts_of_future(value: Any) -> Parts | None:
    if not value.done() or value.cancelled():
        return None
    error = value.exception()
    return (None if error is not None else value.result(), error)


def make_future(result: Any, error: BaseException | None) -> Any:
    made = importlib.import_module("concurrent.futures").Future()
    if error is not None:
        made.set_exception(error)
    else:
        made.set_result(result)
    return made


def _parts_of_variable(value: Any) -> Parts:
    """Returns name, default and value of a context variable."""
    try:
        default = contextvars.Context().run(value.get)
    except LookupError:
        default = _MISSING
    return value.name, default, value.get(_MISSING)


def make_variable(name: str, default: Any, value: Any) -> Any:
    made: Any = contextvars.ContextVar(name) if _is_missing(default) else contextvars.ContextVar(name, default=default)
    if value is not default and not _is_missing(value):
        made.set(value)
    return made


def _is_missing(value: Any) -> bool:
    # In another kernel it is an equal tuple.
    return type(value) is tuple and value == _MISSING


def _parts_of_loop(value: Any) -> Parts | None:
    """Returns whether a loop is closed, whether it is the kernel's, and its settings; None if something waits in it."""
    # The loop of a replay ends with it.
    if value.is_closed() or hasattr(value, "is_of_replay"):
        return True, False, ()
    of_kernel = hasattr(value, "is_of_kernel") or value is loop_of_kernel()
    if not of_kernel and (value.is_running() or value._ready or value._scheduled or value._default_executor):
        return None
    handlers = value.get_exception_handler(), value.get_task_factory()
    return False, of_kernel, (value.get_debug(), value.slow_callback_duration, *handlers)


def loop_of_kernel() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions warn where there is none
        try:
            return asyncio.get_event_loop()
        except RuntimeError:
            return None


def _attributes_of_loop(value: Any) -> dict[str, Any]:
    parts = _parts_of_loop(value)
    return {} if parts is None or parts[1] or hasattr(value, "is_of_replay") else set_by_program(value)


def make_loop(is_closed: bool, of_kernel: bool, settings: Parts) -> Any:
    """Returns the kernel's event loop, or another one."""
    made: Any = (loop_of_kernel() if of_kernel else None) or asyncio.new_event_loop()
    if is_closed:
        made.close()
        return made
    debug, made.slow_callback_duration, handler, factory = settings
    made.set_debug(debug)
    made.set_exception_handler(handler)
    made.set_task_factory(factory)
    return made


def make_queue() -> Any:
    return importlib.import_module("queue").SimpleQueue()


FORMS: dict[type, Form] = {
    _LOCK: Form("lock", lambda value: (value.locked(),), make_lock),
    _RLOCK: Form("lock", _parts_of_rlock, make_rlock),
    threading.Condition: Form("condition", _parts_of_condition, threading.Condition),
    _thread._local: Form(
        "values of a thread", lambda value: (dict(vars(value)),), make_local, attributes=no_attributes
    ),
    threading.Thread: Form("thread that ended", _parts_of_thread, make_thread),
    contextvars.ContextVar: Form("context variable", _parts_of_variable, make_variable),
    contextvars.Context: Form("context", lambda value: None if len(value) else (), contextvars.Context),
}

NAMED: dict[tuple[str, str], Form] = {
    ("_queue", "SimpleQueue"): Form("queue", lambda value: () if value.empty() else None, make_queue),
    ("concurrent.futures.thread", "ThreadPoolExecutor"): Form("pool of threads", _parts_of_pool, make_pool),
    ("concurrent.futures._base", "Future"): Form("future", _parts_of_future, make_future),
}

_LOOP = Form("event loop", _parts_of_loop, make_loop, attributes=_attributes_of_loop)


def choose(kind: type) -> Form | None:
    """Returns the form of a library's class that is known by what it derives from."""
    return _LOOP if issubclass(kind, asyncio.AbstractEventLoop) else None
