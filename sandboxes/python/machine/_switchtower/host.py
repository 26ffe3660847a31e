"""The host, as the Python inside sees it: at the other end of a socket."""

from __future__ import annotations

import os
from collections.abc import Iterable

from . import streams
from .wire import Wire

# A cell's deadline is an interrupt.
INTERRUPTS = True
# While code of the host's own runs, nothing is shown.
silent = False
# The socket, once the kernel serves.
wire: Wire | None = None


def identity() -> None:
    """Has no effect: questions are not noted here."""


reset = identity


def show(data: Iterable[tuple[str, str]], main: bool) -> None:
    if not silent and wire is not None:
        streams.flush()
        wire.send({"show": dict(data), "main": main})


def leave(code: int) -> None:
    os._exit(code)


def report_need(what: str, detail: str) -> None:
    """Has no effect: a whole machine runs what it can, and the program sees the system's own errors."""
