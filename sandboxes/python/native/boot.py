"""Makes the files in the executable importable, and gives Python the packages. Run once, before everything else."""

import importlib.abc
import importlib.machinery
import os
import sys

ROOT = "/switchtower/"
PACKAGE = "_switchtower"

_register_at_fork = os.register_at_fork


class Embedded(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads what is in the executable."""

    def __init__(self, files):
        self._files = {f"{ROOT}{PACKAGE}/{name}": text for name, text in files.items()}

    def _file(self, name):
        base = ROOT + name.replace(".", "/")
        return next((file for file in (f"{base}.py", f"{base}/__init__.py") if file in self._files), None)

    def find_spec(self, name, path=None, target=None):
        if name == PACKAGE:
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations.append(ROOT + PACKAGE)
            return spec
        file = self._file(name) if name.partition(".")[0] == PACKAGE else None
        if file is None:
            return None
        package = file.endswith("/__init__.py")
        spec = importlib.machinery.ModuleSpec(name, self, origin=file, is_package=package)
        spec.has_location = True
        if package:
            spec.submodule_search_locations.append(file.rpartition("/")[0])
        return spec

    def is_package(self, name):
        return self._file(name).endswith("/__init__.py")

    def get_filename(self, name):
        return self._file(name)

    def get_source(self, name):
        return self._files[self._file(name)]

    def get_data(self, path):
        try:
            return self._files[path].encode()
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None


def install(files, site):
    # What libraries want to be done in a fork's child is about threads, of which there are none when a child is forked
    # here, and writes to half a thousand pages of memory. What matters of it, the generators, is seeded by ourselves.
    os.register_at_fork = lambda **hooks: None
    sys.meta_path.insert(0, Embedded(files))
    sys.path.append(str(site))
    # `exit`, `help` and their like: programs use them, and the module that makes them also looks for files.
    import site as builtins_of_site

    builtins_of_site.setquit()
    builtins_of_site.setcopyright()
    builtins_of_site.sethelper()


def settled():
    """Everything is imported."""
    os.register_at_fork = _register_at_fork
