"""Interrupts of cells and programs. One that comes between them has no effect."""

from __future__ import annotations

import signal
from typing import Any

# What an interrupt does while a cell runs, from one cell to the next: programs may install another handler.
_handler: Any = signal.default_int_handler


def _ignore(number: int, frame: object) -> None:
    pass


def allow() -> None:
    """Lets interrupts through from here on."""
    signal.signal(signal.SIGINT, _handler)


def refuse() -> None:
    """Lets no interrupt through from here on, those that have come already included."""
    global _handler
    while True:
        try:
            current = signal.getsignal(signal.SIGINT)
            if current is not _ignore:
                _handler = signal.SIG_DFL if current is None else current
            signal.signal(signal.SIGINT, _ignore)
            return
        except BaseException:
            pass  # raised by the program's handler


def forget() -> None:
    """Forgets a handler that a program installed."""
    global _handler
    _handler = signal.default_int_handler
