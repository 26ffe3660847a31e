"""Reports modules that cannot be imported here, where the program itself imports them."""

from __future__ import annotations

import importlib.abc
import sys
import types
from typing import Any

from . import host
from .paths import HOME, is_program

# Folders of the libraries: set by `install`.
library_folders: tuple[str, ...] = ()

_IMPORTING = ("<frozen importlib._bootstrap", "/switchtower/")
# Files of pandas that import optional packages, only when the program uses a function that needs one.
_FOR_PANDAS = ("pandas/compat/_optional.py", "pandas/io/")


def is_program_file(file: str) -> bool:
    """Returns whether code is the caller's own: the program, text that it runs, or a module that it brought along."""
    if is_program(file):
        return True
    if file.startswith(library_folders):
        return False
    return file.startswith((HOME + "/", "/tmp/")) or file != "" and not file.startswith(("/", "<frozen "))


class Finder(importlib.abc.MetaPathFinder):
    """Finds nothing, and reports what the program imports to the host."""

    def find_spec(self, name: str, path: Any = None, target: types.ModuleType | None = None) -> None:
        if ("." not in name or name.startswith("IPython.")) and not host.silent and _wanted():
            host.report_need("MODULE", name.partition(".")[0])
        return None


def _wanted() -> Any:
    """Returns whether the program itself imports: libraries try modules that they can do without."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_IMPORTING) and not file.endswith("/importlib/__init__.py"):
            return is_program_file(file) or _wanted_by_pandas(frame, file)
        frame = frame.f_back
    return False


def _wanted_by_pandas(frame: types.FrameType, file: str) -> bool:
    if not any(part in file for part in _FOR_PANDAS):
        return False
    # Of two packages for one purpose the second is tried where the first is missing.
    if frame.f_locals.get("errors", "raise") != "raise":
        return False
    callers: list[types.FrameType] = [frame]
    while len(callers) < 3 and (caller := callers[-1].f_back) is not None:
        callers.append(caller)
    return not any(caller.f_code.co_name == "get_engine" for caller in callers)


def install() -> None:
    global library_folders
    known = {folder for folder in (*sys.path, sys.base_prefix, sys.prefix) if folder and folder not in (HOME, "/")}
    library_folders = tuple(sorted(folder.rstrip("/") + "/" for folder in known))
    sys.path[:] = [HOME, *(folder for folder in sys.path if folder not in ("", HOME))]
    sys.meta_path.append(Finder())
