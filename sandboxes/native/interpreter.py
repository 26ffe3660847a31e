"""The Python that is to be embedded: what it is made of, and whether it will do.

Old Pythons must be able to read this file, so that they are refused with a message.
"""

import os
import platform
import sys
import sysconfig
from typing import Any, Callable, Iterable, List, Optional, Tuple

#: The Pythons that requirements.txt has wheels for.
OLDEST = (3, 11)
NEWEST = (3, 14)

#: Folders of the system's libraries. Programs can read them in every jail.
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")


class Refused(Exception):
    """Why the installation is refused, and how to fix it."""

    def __init__(self, why: str, fix: str) -> None:
        super().__init__(why)
        self.fix = fix


class Interpreter:
    """A Python interpreter, described by what it reports."""

    def __init__(
        self, version: Tuple[int, ...], implementation: str, free_threaded: bool, home: str, library: Any
    ) -> None:
        #: Such as (3, 11, 7).
        self.version = version
        #: Such as "cpython".
        self.implementation = implementation
        self.free_threaded = free_threaded
        #: The folder it was installed into; that of a virtual environment's maker, not the environment.
        self.home = home
        #: The path of its shared library; None where it has none.
        self.library = library  # type: Any

    @property
    def name(self) -> str:
        return "Python {}.{}.{}".format(*self.version)

    @property
    def text(self) -> str:
        return "{}.{}.{}".format(*self.version)


def running() -> Interpreter:
    """The Python that reads this line."""
    return Interpreter(
        version=tuple(sys.version_info[:3]),
        implementation=sys.implementation.name,
        free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        home=sys.base_prefix,
        library=library(sysconfig.get_config_var, sys.base_prefix),
    )


def library(variable: Callable[[str], Any], home: str) -> Optional[str]:
    """The shared library that can be linked to, as the configuration `variable`s tell; None where there is none."""
    if not variable("Py_ENABLE_SHARED"):
        return None
    # A Python that was moved after it was built names the folder that it was built for.
    for folder in (variable("LIBDIR"), os.path.join(home, "lib")):
        # Linking needs the plain name: distributions bring it with the package for developers.
        plain, versioned = (os.path.join(folder or "", variable(name) or "") for name in ("LDLIBRARY", "INSTSONAME"))
        if os.path.isfile(plain) and os.path.isfile(versioned):
            return versioned
    return None


def check(python: Interpreter) -> None:
    """Raises `Refused` where this Python cannot be embedded."""
    span = "{}.{} to {}.{}".format(*(OLDEST + NEWEST))
    another = "run this with CPython {}: python3.13 {}".format(span, sys.argv[0])
    if python.implementation != "cpython":
        raise Refused("{} is not CPython".format(python.implementation), another)
    if python.version < OLDEST:
        raise Refused("{} is too old".format(python.name), another)
    if python.version[:2] > NEWEST:
        raise Refused("{} is newer than the pinned packages".format(python.name), another)
    if python.free_threaded:
        raise Refused(
            "this is the free-threaded build of {}: the packages are pinned for the usual one".format(python.name),
            another,
        )
    if python.library is None:
        short = "{}.{}".format(*python.version)
        raise Refused(
            "{} in {} has no shared library to link to".format(python.name, python.home),
            "of a distribution: install libpython{0}-dev (Debian, Ubuntu) or python{0}-devel (Fedora); of pyenv: "
            "PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install {1}; or take uv's: uv python install {0}".format(
                short, python.text
            ),
        )


def glibc() -> Optional[Tuple[int, ...]]:
    """The C library's version, such as (2, 36); None where it is another C library."""
    name, version = platform.libc_ver()
    return tuple(int(part) for part in version.split(".")[:2]) if name == "glibc" else None


def inside(folder: str, folders: Iterable[str]) -> bool:
    return any(folder == above or folder.startswith(above.rstrip("/") + "/") for above in folders)


def outermost(folders: Iterable[str]) -> List[str]:
    """The folders without those that lie in others of them, and without the system's own."""
    folders = sorted(set(os.path.realpath(folder) for folder in folders) | set(folders), key=len)
    kept = []  # type: List[str]
    for folder in folders:
        if not inside(folder, list(SYSTEM) + kept):
            kept.append(folder)
    return sorted(kept)
