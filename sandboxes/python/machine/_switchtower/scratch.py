"""The program's files: those of the whole machine, whose changes the host does not ask for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from .paths import HOME


class _Tree:
    cwd = property(lambda self: os.getcwd())


tree = _Tree()


def set_working_directory(folder: str | None) -> None:
    """Makes a folder the working directory, where one is named. As with E2B, one that is not there is made."""
    if not folder:
        return
    folder = os.path.join(HOME, folder)
    try:
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
    except OSError as error:
        print(f"switchtower: no working directory {folder}: {error.strerror}", file=sys.stderr)


def apply(changes: Iterable[Any]) -> None:
    """Lets imports look again for modules that were written meanwhile. Commands and clients write files between cells."""
    for finder in list(sys.path_importer_cache.values()):
        invalidate = getattr(finder, "invalidate_caches", None)
        if invalidate is not None:
            invalidate()


def mark() -> None:
    """Has no effect: a cell's changes stay in the machine."""
