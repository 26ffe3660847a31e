"""The host, as the guest sees it.

While the snapshot is made there is no host to ask: every call is then answered here. `awake` turns true with the first
program.
"""

from wit_world.imports import host as _host
from wit_world.imports.host import Need, Question

awake = False
# Whether a cell can be interrupted from outside: here it can only be ended, and its instance with it.
INTERRUPTS = False
_identified = False


def environment():
    return dict(_host.environment()) if awake else {}


def identity():
    """The program asks who it is. Once told is enough."""
    global _identified
    if awake and not _identified:
        _identified = True
        _host.ask(Question.IDENTITY)


def forget():
    """Another cell is another question."""
    global _identified
    _identified = False


def started():
    return _host.started() if awake else 0


def sleep(nanoseconds):
    if awake:
        _host.sleep(nanoseconds)


def show(data, main):
    if awake:
        _host.show(data, main)


def leave(code):
    if awake:
        _host.leave(code)


def source(module):
    """The text of one of the guest's modules; while the snapshot is made, it lies in a file."""
    with open(module.__file__, encoding="utf-8") as file:
        return file.read()


def lack(what, detail):
    """Names what the program needs. Returns only where the program is to see its own exception."""
    if awake:
        _host.lack(getattr(Need, what), detail)
