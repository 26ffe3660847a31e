"""Which files belong to the program, and what is done to libraries once they are imported."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from .paths import CELLS, HOME, INTERNAL, is_program

# Folders of the libraries: set by `install`.
library_folders: tuple[str, ...] = ()


def is_program_file(file: str) -> bool:
    """Returns whether code is the caller's own: the program, text that it runs, or a module that it brought along."""
    if is_program(file):
        return True
    if file.startswith((*library_folders, *INTERNAL)) or "/site-packages/" in file or "/dist-packages/" in file:
        return False
    return file.startswith((HOME + "/", CELLS, "/tmp/")) or file != "" and not file.startswith(("/", "<frozen "))


class AfterImport:
    """Finds given modules, and adapts each right after it was imported. It has no base class: that of finders is in a
    module that loads many others."""

    def __init__(self, adapt: dict[str, Callable[[Any], None]]) -> None:
        self._adapt = adapt

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        adapt = self._adapt.get(name)
        spec = importlib.machinery.PathFinder.find_spec(name, path) if adapt else None
        if adapt is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_adapt(module: types.ModuleType) -> None:
            execute(module)
            adapt(module)

        spec.loader.exec_module = execute_and_adapt  # type: ignore[method-assign]
        return spec


def install(adapt: dict[str, Callable[[Any], None]]) -> None:
    """Prepares the path of a program: its own folder is first. `adapt`: what is done to modules that will be imported."""
    global library_folders
    known = {folder for folder in (*sys.path, sys.base_prefix, sys.prefix) if folder and folder not in (HOME, "/")}
    library_folders = tuple(sorted(folder.rstrip("/") + "/" for folder in known))
    sys.path[:] = [HOME, *(folder for folder in sys.path if folder not in ("", HOME))]
    sys.meta_path.insert(0, AfterImport(adapt))  # type: ignore[arg-type]
