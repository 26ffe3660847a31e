"""The host, as the Python inside sees it: the zygote, through what the executable offers."""

import _switchtower_host as _host

from . import streams

# A cell's deadline is an interrupt.
INTERRUPTS = True
# While the zygote warms up and while code of the host's own runs, nothing is shown and no need is named.
silent = True


def identity():
    """Nobody notes here what a program asks."""


forget = identity


def show(data, main):
    if not silent:
        streams.flush()
        _host.show(list(data), main)


def leave(code):
    _host.leave(code)


def lack(what, detail):
    """Names what the program needs. Returns only where the program is to see its own exception."""
    if not silent:
        _host.lack(what, str(detail).encode("utf-8", "backslashreplace").decode()[:200])


def source(module):
    """The text of the module that makes digests: the only one that is sent anywhere."""
    return _host.canon()
