"""The process as a program sees it: its environment and its identity, both read from the host."""

from __future__ import annotations

import builtins
import os
import platform
import posix
import sys
from collections.abc import Iterable
from typing import Any

from . import host
from .paths import EXECUTABLE, PROGRAM, is_program
from .replacements import Replacements

# Variables that are set although no caller gave them.
GIVEN: dict[str, str] = {}


class Environment(os._Environ):
    """`os.environ`, filled from the host when it is first looked at."""

    def __init__(self) -> None:
        def encode(value: Any) -> Any:
            if not isinstance(value, str):
                raise TypeError(f"str expected, not {type(value).__name__}")
            return value.encode("utf-8", "surrogateescape")

        def decode(value: Any) -> Any:
            return value.decode("utf-8", "surrogateescape")

        self._for_cell: dict[bytes, bytes] = {}
        self._replaced: dict[bytes, bytes | None] = {}
        self.encodekey = self.encodevalue = encode
        self.decodekey = self.decodevalue = decode

    def __getattr__(self, name: str) -> Any:
        if name != "_data":
            raise AttributeError(name)
        data = {os.fsencode(k): os.fsencode(v) for k, v in host.environment().items()}
        self._apply_for_cell(data)
        if host.awake:
            # An instance attribute from now on, so that the host is called once. While the snapshot is made there is none.
            self._data = data
        return data

    def set_for_cell(self, variables: Iterable[tuple[str, str]]) -> None:
        """Sets variables until `restore` is called. The other variables are not read from the host."""
        self._for_cell = {self.encodekey(name): self.encodevalue(value) for name, value in variables}
        if "_data" in self.__dict__:
            self._apply_for_cell(self._data)

    def _apply_for_cell(self, data: Any) -> None:
        if self._for_cell:
            self._replaced = {name: data.get(name) for name in self._for_cell}
            data.update(self._for_cell)

    def restore(self) -> None:
        """Restores what `set_for_cell` replaced."""
        for name, value in self._replaced.items():
            if value is None:
                self._data.pop(name, None)
            else:
                self._data[name] = value
        self._for_cell, self._replaced = {}, {}


environment = Environment()


def before_exit() -> None:
    """Runs what is due between a program's last line and its `atexit` functions: nothing here."""


def _identified(name: str, answer: Any) -> Any:
    def read() -> Any:
        host.identity()
        return answer

    read.__name__ = read.__qualname__ = name
    return read


_id, _hash = builtins.id, builtins.hash


def id(obj: Any, /) -> Any:
    """Return the identity of an object."""
    if is_program(sys._getframe(1).f_code.co_filename):
        host.identity()
    return _id(obj)


def hash(obj: Any, /) -> Any:
    """Return the hash value for the given object."""
    # A hash of text differs from process to process, as an address does; one of numbers is the same everywhere.
    # Libraries keep hashes to themselves.
    if not isinstance(obj, (int, float)) and is_program(sys._getframe(1).f_code.co_filename):
        host.identity()
    return _hash(obj)


_libc_ver = platform.libc_ver


def libc_ver(executable: Any = None, lib: str = "", version: str = "", chunksize: int = 16384) -> Any:
    """Tries to determine the libc version that the file executable is linked against."""
    # `sys.executable` is a name without a file.
    return _libc_ver(executable, lib, version, chunksize) if executable else (lib, version)


def install(replacements: Replacements) -> None:
    builtins.id, builtins.hash = id, hash
    posix.environ.clear()
    replacements.put(os, "environ", environment)
    os.__dict__.pop("environb", None)
    for name, answer in (
        ("getpid", 2),
        ("getppid", 1),
        ("getuid", 1000),
        ("geteuid", 1000),
        ("getgid", 1000),
        ("getegid", 1000),
        ("cpu_count", 1),
        ("getlogin", "user"),
    ):
        replacements.put(os, name, _identified(name, answer))
        replacements.put(posix, name, os.__dict__[name])
    os.process_cpu_count = os.cpu_count
    uname = posix.uname()

    def name_of_host() -> Any:
        host.identity()
        return uname

    replacements.put(os, "uname", name_of_host)
    replacements.put(posix, "uname", name_of_host)
    replacements.put(platform, "libc_ver", libc_ver)
    # It would start `uname`, and CPython has no name either where that fails.
    platform._Processor.from_subprocess = staticmethod(lambda: None)  # type: ignore[attr-defined]
    platform._uname_cache = None
    platform._platform_cache.clear()
    sys.executable = sys._base_executable = EXECUTABLE
    sys.argv = [PROGRAM]
    sys.orig_argv = ["python3", PROGRAM]
