"""The process as a program sees it: its environment, its executable and its arguments."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from . import host, matplotlib_figures
from .paths import EXECUTABLE, HOME, PROGRAM

# Variables that are set although no caller gave them.
GIVEN = {"HOME": HOME, "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


class Environment:
    """Variables for the length of one cell."""

    def __init__(self) -> None:
        self._replaced: dict[str, str | None] = {}

    def begin(self, variables: Mapping[str, str]) -> None:
        """Sets the whole environment of a program or kernel."""
        os.environ.clear()
        os.environ.update({**GIVEN, **variables})
        if "TZ" in os.environ:
            time.tzset()

    def set_for_cell(self, variables: Sequence[tuple[str, str]]) -> None:
        """Sets variables until `restore` is called."""
        self._replaced = {name: os.environ.get(name) for name, _ in variables}
        os.environ.update(variables)

    def restore(self) -> None:
        """Restores what `set_for_cell` replaced."""
        for name, value in self._replaced.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._replaced = {}


environment = Environment()


def before_exit() -> None:
    """Runs what is due between a program's last line and its `atexit` functions."""
    matplotlib_figures.flush()
    if not host.silent:
        # As the interpreter does at its end: threads that are no daemons are waited for.
        threading._shutdown()


def _leave(status: Any) -> None:
    """Exit to the system with specified status, without normal exit processing."""
    host.leave(int(status) & 0xFF)


_leave.__name__ = _leave.__qualname__ = "_exit"
_leave.__module__ = "posix"


def install() -> None:
    os._exit = sys.modules["posix"]._exit = _leave
    sys.executable = sys._base_executable = EXECUTABLE
    sys.argv = [PROGRAM]
    sys.orig_argv = ["python3", PROGRAM]
    # No bytecode is written beside modules that a program wrote.
    sys.dont_write_bytecode = True
