"""The host, as the guest sees it.

While the snapshot is made there is no host: every call is then answered here. `awake` turns true with the first program.
"""

from __future__ import annotations

from collections.abc import Iterable

from wit_world.imports import host as _host
from wit_world.imports.host import Need, Question

awake = False
# Whether a cell can be interrupted from outside: here it can only be ended, and its instance with it.
INTERRUPTS = False
_identified = False


def environment() -> dict[str, str]:
    return dict(_host.environment()) if awake else {}


def identity() -> None:
    """Reports to the host that the program reads its identity, once for each program or cell."""
    global _identified
    if awake and not _identified:
        _identified = True
        _host.note_question(Question.IDENTITY)


def reset() -> None:
    """Lets the next question be noted again."""
    global _identified
    _identified = False


def started() -> int:
    return _host.started() if awake else 0


def sleep(nanoseconds: int) -> None:
    if awake:
        _host.sleep(nanoseconds)


def show(data: Iterable[tuple[str, str]], main: bool) -> None:
    if awake:
        _host.show(data, main)


def leave(code: int) -> None:
    if awake:
        _host.leave(code)


def report_need(what: str, detail: str) -> None:
    """Reports what the program needs. Returns only where no other tier can take the program."""
    if awake:
        _host.report_need(getattr(Need, what), detail)
