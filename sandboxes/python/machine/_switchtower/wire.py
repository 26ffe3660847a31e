"""The socket to the host: a JSON object a line, in both directions."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import termios
import threading
import time
from collections.abc import Callable
from typing import Any

_SOCKET = 3
_PIECE = 1 << 16
# How long a value waits for the host, in seconds.
_MOST_WAITED = 1.0
_SIGNALS = signal.valid_signals()
# Made before a program, which may replace these classes.
_encode, _decode = json.JSONEncoder(ensure_ascii=False).encode, json.JSONDecoder().decode


class Wire:
    """The kernel's end. Descriptor 3 is another number from here on, which other programs do not inherit."""

    def __init__(self) -> None:
        from . import descriptors

        self._end = descriptors.take(_SOCKET)
        self._owner: int | None = os.getpid()
        self._received = bytearray()
        self._readable = select.poll()
        self._readable.register(self._end, select.POLLIN)
        self._lock = threading.Lock()
        self._sender: int | None = None
        self._waiting: list[bytes] = []

    def abandon(self) -> None:
        """Closes the socket in a process that a program forked: it has nothing to tell the host."""
        self._owner = None
        try:
            os.close(self._end)
        except OSError:
            pass  # the program closed it

    def is_own(self) -> bool:
        """Returns whether this process is the kernel."""
        return self._owner == os.getpid()

    def receive(self) -> Any:
        """Returns the next message; `None` once the host has closed its end."""
        while (end := self._received.find(b"\n")) < 0:
            # Here handlers of a program's run, and may raise.
            self._readable.poll()
            if not undisturbed(self._read):
                return None
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return _decode(line.decode())

    def _read(self) -> bool:
        try:
            piece = os.read(self._end, _PIECE)
        except OSError:
            piece = b""  # the program closed the socket
        self._received += piece
        return bool(piece)

    def is_idle(self) -> bool:
        """Returns whether no message waits to be read."""
        return not self._received and not self._readable.poll(0)

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message as a whole, once. What handlers of signals raise meanwhile is raised after that."""
        if not self.is_own():
            return
        line = _encode(message).encode("utf-8", "replace") + b"\n"
        me = threading.get_ident()
        if self._sender == me:
            # Within a handler, in the middle of a message of this thread's.
            self._waiting.append(line)
            return
        self._waiting.append(line)
        raised: BaseException | None = None
        with self._lock:
            self._sender = me
            while self._waiting:
                try:
                    undisturbed(self._write)
                except BaseException as error:
                    raised = error
            self._sender = None
        if raised is not None:
            raise raised

    def _write(self) -> None:
        while self._waiting:
            left = memoryview(self._waiting.pop(0))
            try:
                while left:
                    left = left[os.write(self._end, left) :]
            except OSError:
                os._exit(1)  # nobody is there, or the program closed the socket
        self._wait_until_read()

    def _wait_until_read(self) -> None:
        """Waits until the host has read all, for a while: what is written after a value is then after it, too."""
        ends = time.monotonic() + _MOST_WAITED
        unread = bytearray(4)
        pause = 0.00001
        while time.monotonic() < ends:
            try:
                fcntl.ioctl(self._end, termios.TIOCOUTQ, unread)
            except OSError:
                return  # a system that does not tell
            if not int.from_bytes(unread, sys.byteorder):
                return
            time.sleep(pause)
            pause = min(pause * 2, 0.005)


def undisturbed(work: Callable[[], Any]) -> Any:
    """Runs a function while no handler of a program's can run in between. Other signals have their effect."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, [n for n in _SIGNALS if callable(signal.getsignal(n))])
        return work()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
