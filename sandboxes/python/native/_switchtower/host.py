"""The host, as the Python inside sees it: the zygote, through what the executable offers."""

from __future__ import annotations

from collections.abc import Iterable

import _switchtower_host as _host

from . import streams

# A cell's deadline is an interrupt.
INTERRUPTS = True
# While the zygote warms up and while code of the host's own runs, nothing is shown and no need is reported.
silent = True


def identity() -> None:
    """Has no effect: questions are not noted here."""


reset = identity


def show(data: Iterable[tuple[str, str]], main: bool) -> None:
    if not silent:
        streams.flush()
        _host.show(list(data), main)


def leave(code: int) -> None:
    _host.leave(code)


def report_need(what: str, detail: str) -> None:
    """Reports what the program needs. Returns only where no other tier can take the program."""
    if not silent:
        _host.report_need(what, str(detail).encode("utf-8", "backslashreplace").decode()[:200])
