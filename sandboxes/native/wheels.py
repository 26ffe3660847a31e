"""Wheels that are given as files: whether they are whole, and whether this Python takes them.

Old Pythons must be able to read this file, as install.py.
"""

import os
import re
import subprocess
import sys
import zipfile
import zlib
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

import interpreter
from interpreter import Refused

NAME = re.compile(
    r"([A-Za-z0-9](?:[\w.]*[A-Za-z0-9])?)-(\d[\w.!+]*)(?:-\d[\w.]*)?-([\w.]+)-([\w.]+)-([\w.]+)\.whl", re.ASCII
)

#: What a wheel must hold to be installed, in its folder of metadata.
PARTS = ("METADATA", "RECORD", "WHEEL")

BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, UnicodeError)


class Wheel:
    """A file that is a whole wheel."""

    def __init__(self, path: str, name: str, version: str, tags: Sequence[str]) -> None:
        self.path = path
        #: The package's name, as package indexes compare it.
        self.name = name
        self.version = version
        #: The Pythons and machines that it is for, such as "py3-none-any".
        self.tags = list(tags)

    @property
    def asked(self) -> str:
        """The package in this version, as --with takes it."""
        return "{}=={}".format(self.name, self.version)

    def rank(self, taken: Sequence[str]) -> Optional[int]:
        """How well it fits a Python that takes these: 0 is best; None where it does not fit."""
        places = [taken.index(tag) for tag in self.tags if tag in taken]
        return min(places) if places else None


def normalized(name: str) -> str:
    """The name of a package as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def opened(path: str) -> Wheel:
    """Reads the file through; refused where it is no wheel."""
    again = "get the file again, for instance with: {} -m pip download --no-deps {{}}".format(sys.executable)
    name = os.path.basename(path)
    found = NAME.match(name) if name.endswith(".whl") else None
    if found is None or found.end() != len(name):
        raise Refused("{} has not the name of a wheel".format(path), "name a file such as thing-1.0-py3-none-any.whl")
    package, version = normalized(found.group(1)), found.group(2)
    fix = again.format("{}=={}".format(package, version))
    try:
        with zipfile.ZipFile(path) as archive:
            torn = archive.testzip()
            if torn is not None:
                raise Refused("{} is damaged: {} in it is not what it was".format(path, torn), fix)
            folders = {one.split("/")[0] for one in archive.namelist()}
            described = [one for one in folders if one.endswith(".dist-info")]
            there = set(archive.namelist())
            missing = [part for part in PARTS if not {one + "/" + part for one in described} & there]
            if len(described) != 1 or missing:
                lacks = "one folder of metadata" if len(described) != 1 else ", ".join(missing)
                raise Refused("{} is no wheel: it lacks {}".format(path, lacks), fix)
            metadata = archive.read(described[0] + "/METADATA").decode("utf-8", "replace")
    except BROKEN as error:
        raise Refused("{} is no wheel: {}".format(path, str(error).rstrip(".") or type(error).__name__), fix) from None
    named = re.search(r"^Name:\s*(\S+)", metadata, re.MULTILINE)
    if named is None or normalized(named.group(1)) != package:
        inside = named.group(1) if named else "no name"
        raise Refused("{} has the name of another package: {} is in it".format(path, inside), "give it its own name")
    pythons, abis, platforms = (found.group(place).split(".") for place in (3, 4, 5))
    tags = ["-".join((one, abi, platform)) for one in pythons for abi in abis for platform in platforms]
    return Wheel(path, package, version, tags)


def taken() -> List[str]:
    """The tags of wheels that this Python takes on this machine, the best one first, as pip has them."""
    command = "from pip._vendor.packaging.tags import sys_tags; print(*sys_tags(), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-I", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        universal_newlines=True,
    )
    if done.returncode:
        raise Refused("this Python has no pip", "install python3-pip, or run: {} -m ensurepip".format(sys.executable))
    return done.stdout.split()


def fitting(wheel: Wheel, tags: Sequence[str]) -> int:
    """How well it fits; refused with what would fit where it does not."""
    rank = wheel.rank(tags)
    if rank is None:
        libc = interpreter.glibc()
        newest = " (the C library here is glibc {}.{})".format(*libc) if libc else ""
        raise Refused(
            "{} is for {}, which is not this Python on this machine{}".format(
                wheel.path, " or ".join(wheel.tags[:3]), newest
            ),
            "take a wheel for {}, or py3-none-any; or without a file: --with {}".format(tags[0], wheel.asked),
        )
    return rank


def given(options: Iterable[str]) -> Tuple[List[str], List[Wheel]]:
    """What --with names: packages as they are written, and the wheels that are given as files or in folders."""
    asked: List[str] = []
    wheels: List[Wheel] = []
    tags: List[str] = []
    for one in options:
        if "://" in one:
            raise Refused("{} is an address".format(one), "download it, and give the path of the file")
        if os.path.isdir(one):
            paths = [os.path.join(one, name) for name in sorted(os.listdir(one)) if name.endswith(".whl")]
            if not paths:
                raise Refused("{} has no wheels".format(one), "name a folder with files that end with .whl")
        elif one.endswith((".whl", ".tar.gz", ".zip")) or os.sep in one:
            if not os.path.isfile(one):
                raise Refused("there is no file or folder {}".format(one), "give the path of a wheel that is there")
            paths = [one]
        else:
            asked.append(one)
            continue
        tags = tags or taken()
        for wheel in best([opened(path) for path in paths], tags):
            wheels.append(wheel)
            asked.append(wheel.asked)
    return asked, wheels


def best(wheels: Sequence[Wheel], tags: Sequence[str]) -> List[Wheel]:
    """One wheel of each package: the one that fits best."""
    chosen: Dict[str, Wheel] = {}
    for wheel in sorted(wheels, key=lambda one: (one.rank(tags) is None, one.rank(tags) or 0)):
        other = chosen.setdefault(wheel.name, wheel)
        if other is wheel:
            fitting(wheel, tags)
        elif other.version != wheel.version and wheel.rank(tags) is not None:
            raise Refused(
                "there are two versions of {}: {} and {}".format(wheel.name, other.path, wheel.path),
                "give one of the two",
            )
    return list(chosen.values())


def kept(folders: Iterable[str], asked: Iterable[str]) -> List[Wheel]:
    """The wheels in these folders of an earlier installation that are still asked for and still fit."""
    paths = [os.path.join(folder, name) for folder in folders if os.path.isdir(folder) for name in os.listdir(folder)]
    tags = taken() if paths else []
    found: Dict[str, Wheel] = {}
    for path in sorted(paths):
        try:
            wheel = opened(path)
        except Refused:
            continue
        if wheel.asked in asked and wheel.rank(tags) is not None:
            found.setdefault(wheel.name, wheel)
    return list(found.values())
