"""What a program can learn about the process it runs in: little that is the machine's."""

import os
import sys
import threading
import time

from . import figures, host
from .paths import HOME

# In the environment although no caller gave it.
GIVEN = {"HOME": HOME, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


class Environment:
    """Variables for the length of one cell."""

    def __init__(self):
        self._kept = {}

    def begin(self, variables):
        """The whole environment of a program or kernel."""
        os.environ.clear()
        os.environ.update({**GIVEN, **variables})
        if "TZ" in os.environ:
            time.tzset()

    def lend(self, variables):
        """Variables for a while, until they are taken back."""
        self._kept = {name: os.environ.get(name) for name, _ in variables}
        os.environ.update(variables)

    def take_back(self):
        """What was there before the lent variables is there again."""
        for name, value in self._kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._kept = {}


environment = Environment()


def wind_up():
    """What is due between a program's last line and its `atexit` functions."""
    figures.flush()
    if not host.silent:
        # As the interpreter does at its end: threads that are no daemons are waited for.
        threading._shutdown()


def _leave(status):
    """Exit to the system with specified status, without normal exit processing."""
    host.leave(int(status) & 0xFF)


_leave.__name__ = _leave.__qualname__ = "_exit"
_leave.__module__ = "posix"


def install():
    os._exit = sys.modules["posix"]._exit = _leave
    sys.executable = sys._base_executable = "/usr/bin/python3"
    sys.argv = [HOME + "/main.py"]
    sys.orig_argv = ["python3", "main.py"]
    # A module that a program wrote leaves nothing beside it.
    sys.dont_write_bytecode = True
