"""Imports without a file system: common modules are in the snapshot, the sources of all are kept compressed.

A module that is not in the snapshot is compiled from its source when it is first imported.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.resources.abc
import importlib.util
import io
import os
import sys
import types
import zlib
import zoneinfo
from typing import Any

from . import host
from .paths import HOME

# Not for programs: tests, tools with a screen, installers; and what only works with a C module that WASI lacks.
SKIPPED = frozenset(
    "test tests testing idlelib turtledemo ensurepip lib2to3 tkinter venv site-packages __pycache__ curses "
    "benchmarks config-3.14-wasm32-wasi msilib _switchtower wit_world".split()
)
# Standard modules that a full CPython has and this one cannot have.
MISSING = frozenset(
    "_bz2 _ctypes _curses _dbm _gdbm _lzma _multiprocessing _posixshmem _posixsubprocess _ssl _tkinter _zstd bz2 ctypes "
    "curses fcntl grp lzma mmap pwd resource readline ssl syslog termios tkinter tty pty turtle ensurepip venv idlelib "
    "turtledemo".split()
)

# C modules of multiprocessing: it can be imported without them, and reports the need when it is used.
_FOR_PROCESSES = ("_multiprocessing", "_posixshmem")
# Modules that it imports when it starts a process.
_STARTING = ("multiprocessing.popen_fork", "multiprocessing.popen_forkserver", "multiprocessing.popen_spawn_posix")

_sources: dict[str, tuple[bool, str, bytes]] = {}  # module name -> (is a package, file name, compressed source)
_data: dict[str, bytes] = {}  # file name -> compressed content


def keep_sources(root: str) -> None:
    """Keeps every module below `root`, and the data files of tzdata."""
    for here, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED and not f.endswith((".dist-info", ".egg-info")))
        for file in sorted(files):
            path = os.path.join(here, file)
            if file.endswith(".py"):
                name = os.path.relpath(path, root)[:-3].replace(os.sep, ".")
                package = name.endswith("__init__")
                name = name.removesuffix("__init__").rstrip(".")
                if name and name not in _sources and name.partition(".")[0] not in MISSING:
                    _sources[name] = (package, path, _read(path))
            elif "tzdata" in here:
                _data[path] = _read(path)


def _read(path: Any) -> Any:
    with open(path, "rb") as file:
        return zlib.compress(file.read(), 9)


class Loader(importlib.abc.InspectLoader):
    """Loads from the kept sources."""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def is_package(self, name: str) -> Any:
        return _sources[name][0]

    def get_filename(self, name: str) -> Any:
        return _sources[name][1]

    def get_source(self, name: str) -> Any:
        if name not in _sources:
            raise ImportError(f"no source is kept for {name}", name=name)
        # Some of the standard library's files declare another encoding than UTF-8.
        return importlib.util.decode_source(zlib.decompress(_sources[name][2]))

    def get_code(self, name: str) -> Any:
        return compile(zlib.decompress(_sources[name][2]), _sources[name][1], "exec", dont_inherit=True)

    def get_data(self, path: Any) -> Any:
        try:
            return zlib.decompress(_data[path])
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None

    def get_resource_reader(self, name: str) -> Any:
        return Resources(os.path.dirname(_sources[name][1])) if _sources[name][0] else None


class Resources(importlib.resources.abc.TraversableResources):
    """The data files of one package."""

    def __init__(self, folder: Any) -> None:
        self._folder = folder

    def files(self) -> Any:
        return Resource(self._folder)


class Resource(importlib.resources.abc.Traversable):
    """A kept data file, or a folder of them."""

    def __init__(self, path: Any) -> None:
        self._path = path

    @property
    def name(self) -> Any:
        return os.path.basename(self._path)

    def iterdir(self) -> Any:
        inside = self._path + "/"
        names = {path[len(inside) :].partition("/")[0] for path in _data if path.startswith(inside)}
        return (Resource(inside + name) for name in sorted(names))

    def is_file(self) -> bool:
        return self._path in _data

    def is_dir(self) -> bool:
        return any(path.startswith(self._path + "/") for path in _data)

    def joinpath(self, *names: Any) -> Any:
        return Resource("/".join((self._path, *names)))

    def open(self, mode: str = "r", *, encoding: Any = "utf-8", errors: Any = None, newline: Any = None) -> Any:
        content = _loader.get_data(self._path)
        return io.BytesIO(content) if "b" in mode else io.StringIO(content.decode(encoding or "utf-8"), newline)


class Finder(importlib.abc.MetaPathFinder):
    """Finds kept modules. Reports a need for others that the program itself imports."""

    def find_spec(self, name: str, path: Any = None, target: types.ModuleType | None = None) -> Any:
        if name in _STARTING:
            host.report_need("PROCESS", "multiprocessing.Process")
            raise PermissionError(1, "Operation not permitted")
        found = _sources.get(name)
        if found is not None:
            spec = importlib.machinery.ModuleSpec(name, _loader, origin=found[1], is_package=found[0])
            spec.has_location = True
            if spec.submodule_search_locations is not None:
                spec.submodule_search_locations.append(os.path.dirname(found[1]))
            return spec
        if folders := _own_folders(name, path):
            # A folder of the program's without `__init__.py`: as in CPython, every module goes before it.
            spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = folders
            return spec
        if name in _FOR_PROCESSES:
            host.report_need("PROCESS", "multiprocessing")
        elif ("." not in name or name.startswith("IPython.")) and _wanted_by_the_program():
            host.report_need("MODULE", name.partition(".")[0])
        return None


def _own_folders(name: str, path: Any) -> list[str]:
    tail = name.rpartition(".")[2]
    folders = [os.path.join(folder or os.getcwd(), tail) for folder in (sys.path if path is None else path)]
    return [folder for folder in folders if os.path.isdir(folder)]


def _wanted_by_the_program() -> bool:
    """Returns whether the program itself imports: libraries try modules that they can do without."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<frozen importlib") and not file.endswith("/importlib/__init__.py"):
            return not file.startswith("/") or file.startswith((HOME, "/tmp/"))
        frame = frame.f_back
    return False


class Scripts(importlib.abc.MetaPathFinder):
    """Modules that the program wrote or was given as files: on `sys.path`, in the scratch file system."""

    def find_spec(self, name: str, path: Any = None, target: types.ModuleType | None = None) -> Any:
        tail = name.rpartition(".")[2]
        for folder in sys.path if path is None else path:
            base = os.path.join(folder or os.getcwd(), tail)
            for file, package in ((base + ".py", False), (base + "/__init__.py", True)):
                if os.path.isfile(file):
                    spec = importlib.machinery.ModuleSpec(name, ScriptLoader(file), origin=file, is_package=package)
                    spec.has_location = True
                    if spec.submodule_search_locations is not None:
                        spec.submodule_search_locations[:] = [base]
                    return spec
        return None


class ScriptLoader(importlib.abc.InspectLoader):
    """Loads one module from the scratch file system."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def is_package(self, name: str) -> bool:
        return self._file.endswith("/__init__.py")

    def get_filename(self, name: str) -> Any:
        return self._file

    def get_source(self, name: str) -> Any:
        with open(self._file, "rb") as file:
            return importlib.util.decode_source(file.read())

    def get_code(self, name: str) -> Any:
        with open(self._file, "rb") as file:
            return compile(file.read(), self._file, "exec", dont_inherit=True)


_loader = Loader()


def install() -> None:
    """Lets imports find nothing on a file system of the host's from here on."""
    keepers = [
        f for f in sys.meta_path if f in (importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter)
    ]
    sys.meta_path[:] = [*keepers, Scripts(), Finder()]
    sys.path_hooks.clear()
    sys.path[:] = []
    sys.path_importer_cache.clear()
    zoneinfo.reset_tzpath(to=())  # time zones come from tzdata
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if name in _sources and spec is not None:
            module.__loader__ = spec.loader = _loader


def drop_modules(names: Any) -> None:
    """Drops modules that were tried while the snapshot was made: a program's own import is to fail."""
    for name in list(sys.modules):
        if name.partition(".")[0] in names:
            del sys.modules[name]


def importable_modules() -> Any:
    """Returns the top-level modules that a program can import."""
    kept = {name.partition(".")[0] for name in _sources}
    made = {name for name in sys.builtin_module_names if name != "componentize_py_runtime"} | {"IPython"}
    return sorted((kept | made) - MISSING)
