"""Processes that were never started, because their answers are known: numbers that programs can wait for."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import Any

# More than a system has numbers for. The oldest that nobody waited for are forgotten.
_FIRST = 1 << 22
_MOST = 1000


class Child:
    """A process, which has ended if its exit code is given."""

    def __init__(self, code: int | None) -> None:
        self._ended = threading.Event()
        self._code = 0
        if code is not None:
            self.end(code)

    def end(self, code: int) -> None:
        self._code = code
        self._ended.set()

    def status(self, options: int) -> int | None:
        """Returns the status as the system tells it, once there is one; `None`: not yet, and that is to be told."""
        if options & os.WNOHANG and not self._ended.is_set():
            return None
        self._ended.wait()
        return self._code << 8

    def descriptor(self) -> int:
        """Returns a descriptor that can be read from once the process has ended."""
        end, other = os.pipe()

        def close() -> None:
            self._ended.wait()
            os.close(other)

        if self._ended.is_set():
            close()
        else:
            threading.Thread(target=close, daemon=True).start()
        return end


_children: dict[int, Child] = {}
_next = _FIRST


def add(child: Child) -> int:
    """Returns the number of a new process."""
    global _next
    _next += 1
    while len(_children) >= _MOST:
        del _children[next(iter(_children))]
    _children[_next] = child
    return _next


def _wait(number: int, options: int) -> tuple[int, int] | None:
    """Waits for a process. `None`: it is none of these."""
    if number in (-1, 0) and _children:
        number = next(iter(_children))
    child = _children.get(number)
    if child is None:
        return None
    status = child.status(options)
    if status is None:
        return 0, 0
    _children.pop(number, None)
    return number, status


def install() -> None:
    """Puts functions that know these processes in the place of the system's."""
    waitpid, wait, wait3, wait4, kill = os.waitpid, os.wait, os.wait3, os.wait4, os.kill

    def own_waitpid(pid: int, options: int, /) -> tuple[int, int]:
        return _wait(pid, options) or waitpid(pid, options)

    def own_wait() -> tuple[int, int]:
        return _wait(-1, 0) or wait()

    def own_wait3(options: int) -> Any:
        found = _wait(-1, options)
        return (*found, _usage()) if found else wait3(options)

    def own_wait4(pid: int, options: int) -> Any:
        found = _wait(pid, options)
        return (*found, _usage()) if found else wait4(pid, options)

    def _usage() -> Any:
        import resource

        return resource.struct_rusage((0.0, 0.0, *[0] * 14))

    def own_kill(pid: int, signal: int, /) -> None:
        # A signal does nothing to a process that has ended.
        if pid not in _children:
            kill(pid, signal)

    replacements: dict[str, Any] = {
        "waitpid": own_waitpid,
        "wait": own_wait,
        "wait3": own_wait3,
        "wait4": own_wait4,
        "kill": own_kill,
    }
    open_process = getattr(os, "pidfd_open", None)
    if open_process is not None:

        def own_pidfd_open(pid: int, flags: int = 0) -> int:
            child = _children.get(pid)
            return open_process(pid, flags) if child is None else child.descriptor()

        replacements["pidfd_open"] = own_pidfd_open
    for name, function in replacements.items():
        function.__name__ = function.__qualname__ = name
        function.__module__ = "posix"
        setattr(os, name, function)
    # Here the function is kept: in the defaults of a method, and in later versions of Python in an object.
    poll: Any = subprocess.Popen._internal_poll  # type: ignore[attr-defined]
    poll.__defaults__ = tuple(own_waitpid if value is waitpid else value for value in poll.__defaults__ or ())
    kept: Any = getattr(subprocess, "_del_safe", None)
    if kept is not None:
        kept.waitpid = own_waitpid
