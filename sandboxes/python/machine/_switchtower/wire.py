"""The socket to the host: a JSON object a line, in both directions."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

_SOCKET = 3
_PIECE = 1 << 16


class Wire:
    """The kernel's end. Descriptor 3 is another number from here on, which other programs do not inherit."""

    def __init__(self) -> None:
        from . import descriptors

        self._end = descriptors.take(_SOCKET)
        self._owner: int | None = os.getpid()
        self._received = bytearray()
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
            piece = os.read(self._end, _PIECE)
            if not piece:
                return None
            self._received += piece
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        return json.loads(line)

    def is_idle(self) -> bool:
        """Returns whether no message waits to be read."""
        import select

        waits = select.poll()
        waits.register(self._end, select.POLLIN)
        return not self._received and not waits.poll(0)

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message as a whole: an interrupt waits until it is sent."""
        if not self.is_own():
            return
        line = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        if threading.current_thread() is not threading.main_thread():
            self._send(line)
            return
        interrupted: list[int] = []
        handler = signal.signal(signal.SIGINT, lambda number, frame: interrupted.append(number))
        try:
            self._send(line)
        finally:
            signal.signal(signal.SIGINT, handler or signal.SIG_DFL)
        if interrupted:
            signal.raise_signal(signal.SIGINT)

    def _send(self, line: bytes) -> None:
        me = threading.get_ident()
        if self._sender == me:
            # A handler of another signal, in the middle of a message of this thread's.
            self._waiting.append(line)
            return
        with self._lock:
            self._sender = me
            try:
                self._write(line)
                while self._waiting:
                    self._write(self._waiting.pop(0))
            finally:
                self._sender = None

    def _write(self, line: bytes) -> None:
        left = memoryview(line)
        while left:
            left = left[os.write(self._end, left) :]
