"""What a program can learn about the process it runs in: its environment and its identity, both asked of the host."""

import builtins
import os
import platform
import posix
import sys

from . import host
from .paths import HOME, is_program


# In the environment although no caller gave it.
GIVEN = {}


class Environment(os._Environ):
    """`os.environ`, filled from the host when it is first looked at."""

    def __init__(self):
        def encode(value):
            if not isinstance(value, str):
                raise TypeError(f"str expected, not {type(value).__name__}")
            return value.encode("utf-8", "surrogateescape")

        def decode(value):
            return value.decode("utf-8", "surrogateescape")

        self._lent, self._kept = {}, {}
        self.encodekey = self.encodevalue = encode
        self.decodekey = self.decodevalue = decode

    def __getattr__(self, name):
        if name != "_data":
            raise AttributeError(name)
        data = {os.fsencode(k): os.fsencode(v) for k, v in host.environment().items()}
        self._hide(data)
        if host.awake:
            # An instance attribute from now on: this is asked once. While the snapshot is made nobody is asked yet.
            self._data = data
        return data

    def lend(self, variables):
        """Variables for a while, until they are taken back. The host is not asked for the others."""
        self._lent = {self.encodekey(name): self.encodevalue(value) for name, value in variables}
        if "_data" in self.__dict__:
            self._hide(self._data)

    def _hide(self, data):
        if self._lent:
            self._kept = {name: data.get(name) for name in self._lent}
            data.update(self._lent)

    def take_back(self):
        """What was there before the lent variables is there again."""
        for name, value in self._kept.items():
            if value is None:
                self._data.pop(name, None)
            else:
                self._data[name] = value
        self._lent, self._kept = {}, {}


environment = Environment()


def wind_up():
    """What is due between a program's last line and its `atexit` functions: nothing that would not be done by then."""


def _identified(name, answer):
    def ask():
        host.identity()
        return answer

    ask.__name__ = ask.__qualname__ = name
    return ask


_id, _hash = builtins.id, builtins.hash


def id(obj, /):
    """Return the identity of an object."""
    if is_program(sys._getframe(1).f_code.co_filename):
        host.identity()
    return _id(obj)


def hash(obj, /):
    """Return the hash value for the given object."""
    # A hash of text differs from process to process, as an address does; one of numbers is the same everywhere.
    # Libraries keep hashes to themselves.
    if not isinstance(obj, (int, float)) and is_program(sys._getframe(1).f_code.co_filename):
        host.identity()
    return _hash(obj)


def install(replacements):
    builtins.id, builtins.hash = id, hash
    posix.environ.clear()
    replacements.put(os, "environ", environment)
    os.__dict__.pop("environb", None)
    for name, answer in (
        ("getpid", 2), ("getppid", 1), ("getuid", 1000), ("geteuid", 1000), ("getgid", 1000), ("getegid", 1000),
        ("cpu_count", 1), ("getlogin", "user"),
    ):
        replacements.put(os, name, _identified(name, answer))
        replacements.put(posix, name, os.__dict__[name])
    os.process_cpu_count = os.cpu_count
    uname = posix.uname()

    def name_of_host():
        host.identity()
        return uname

    replacements.put(os, "uname", name_of_host)
    replacements.put(posix, "uname", name_of_host)
    platform._uname_cache = None
    platform._platform_cache.clear()
    sys.executable = sys._base_executable = "/usr/bin/python3"
    sys.argv = [HOME + "/main.py"]
    sys.orig_argv = ["python3", "main.py"]
