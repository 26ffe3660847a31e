"""Makes the files in the executable importable, and gives Python the packages. Run once, before everything else."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

ROOT = "/switchtower/"
PACKAGE = "_switchtower"

_register_at_fork = os.register_at_fork


class Embedded(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Finds and loads what is in the executable."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = {f"{ROOT}{PACKAGE}/{name}": text for name, text in files.items()}
        self._folders = set[str]()
        for path in self._files:
            while (path := path.rpartition("/")[0]) not in ROOT:
                self._folders.add(path)

    def _file(self, name: str) -> str | None:
        base = ROOT + name.replace(".", "/")
        return next((file for file in (f"{base}.py", f"{base}/__init__.py") if file in self._files), None)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Returns the spec of an embedded module or package; None for all others."""
        if name.partition(".")[0] != PACKAGE:
            return None
        file, folder = self._file(name), ROOT + name.replace(".", "/")
        if file is None and folder not in self._folders:
            return None
        package = file is None or file.endswith("/__init__.py")
        spec = importlib.machinery.ModuleSpec(name, self if file else None, origin=file, is_package=package)
        spec.has_location = file is not None
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(folder)
        return spec

    def is_package(self, name: str) -> bool:
        """Returns whether an embedded module is a package."""
        return self.get_filename(name).endswith("/__init__.py")

    def get_filename(self, name: str) -> str:
        """Returns the path that an embedded module has in tracebacks."""
        file = self._file(name)
        if file is None:
            raise ImportError(f"no module {name} is embedded", name=name)
        return file

    def get_source(self, name: str) -> str:
        """Returns the text of an embedded module."""
        return self._files[self.get_filename(name)]

    def get_data(self, path: str) -> bytes:
        """Returns the content of an embedded file."""
        try:
            return self._files[path].encode()
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None


def _ignore_hooks(**hooks: Callable[[], Any]) -> None:
    """Stands in for `os.register_at_fork`."""


def install(files: Mapping[str, str], site: str | os.PathLike[str]) -> None:
    """Makes `files` importable, and the packages in `site`."""
    # What libraries register for a fork's child is about threads, of which there are none when a child is forked here,
    # and writes to half a thousand pages of memory. What matters of it, the generators, `randomness` seeds.
    os.register_at_fork = _ignore_hooks  # type: ignore[assignment]
    sys.meta_path.insert(0, Embedded(files))
    sys.path.append(str(site))
    # `exit`, `help` and their like: programs use them, and the module that makes them also looks for files.
    import site as builtins_of_site

    builtins_of_site.setquit()
    builtins_of_site.setcopyright()
    builtins_of_site.sethelper()


def finish() -> None:
    """Puts back what `install` replaced, once everything is imported."""
    os.register_at_fork = _register_at_fork
