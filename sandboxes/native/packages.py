"""Packages of the scientific tier: which are installed, where their wheels come from, and their installation.

Old Pythons must be able to read this file, as install.py.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence

import interpreter
from interpreter import Refused

HERE = os.path.dirname(os.path.abspath(__file__))
PROBE = os.path.join(HERE, "probe_packages.py")

#: Packages' own tests: they stay, for some packages import parts of them, but are not compiled ahead.
TESTS = r"/tests?/"

#: How many wheels one run of pip downloads: what is complete is kept if a later one fails.
BATCH = 8


class Profile:
    """A set of packages, with its size for x86_64."""

    def __init__(self, lists: Sequence[str], download: int, installed: int) -> None:
        #: Files with pins, beside this one.
        self.lists = [os.path.join(HERE, name) for name in lists]
        #: Megabytes to download, and on the disk.
        self.download, self.installed = download, installed


PROFILES = {
    "default": Profile(["requirements.txt"], 359, 1400),
    "e2b": Profile(["requirements.txt", "requirements-e2b.txt"], 528, 2100),
}


class Pin:
    """A package with its version and the sha256 of each wheel that it may come in."""

    def __init__(self, name: str, version: str, hashes: Iterable[str]) -> None:
        self.name = name
        self.version = version
        self.hashes = sorted(hashes)

    def line(self) -> str:
        return " ".join(["{}=={}".format(self.name, self.version)] + ["--hash=sha256:" + one for one in self.hashes])


def normalized(name: str) -> str:
    """The name of a package as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lists: Iterable[str], minor: int) -> List[Pin]:
    """The pins in these files for Python 3.`minor`."""
    pins = []
    for path in lists:
        with open(path, encoding="utf-8") as file:
            text = file.read().replace("\\\n", " ")
        for line in text.splitlines():
            found = re.match(r'([a-z0-9-]+)==([^\s;]+)(?:; python_version (<|>=) "3\.(\d+)")?(?: |$)', line)
            if not found:
                continue
            name, version, compared, limit = found.groups()
            if compared is None or (minor < int(limit)) == (compared == "<"):
                pins.append(Pin(name, version, re.findall(r"--hash=sha256:([0-9a-f]+)", line)))
    return pins


def settings() -> Dict[str, str]:
    """The user's own settings of pip stay (an index, a proxy), but for those that contradict a target folder."""
    return dict(clean(os.environ), PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0", PIP_DISABLE_PIP_VERSION_CHECK="1")


def pip() -> List[str]:
    """The beginning of a command of pip; refused where there is no pip."""
    command = [sys.executable, "-m", "pip"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # type: Dict[str, Any]
    if subprocess.run(command + ["--version"], env=settings(), **quiet).returncode:
        raise Refused("this Python has no pip", "install python3-pip, or run: {} -m ensurepip".format(sys.executable))
    return command


# What is added


def local_wheels(given: Iterable[str], kept: str) -> List[str]:
    """Copies the wheels that are given as files, or as folders of them, into a folder. Returns what is to be installed."""
    asked = []
    for one in given:
        if not (one.endswith(".whl") or os.path.isdir(one)):
            asked.append(one)
            continue
        folder = [os.path.join(one, name) for name in sorted(os.listdir(one))] if os.path.isdir(one) else [one]
        wheels = [path for path in folder if path.endswith(".whl")]
        if not wheels:
            raise Refused("{} has no wheels".format(one), "name a folder with files that end with .whl")
        for wheel in wheels:
            parts = os.path.basename(wheel).split("-")
            if len(parts) < 5 or not os.path.isfile(wheel):
                raise Refused("{} is no wheel".format(wheel), "name a file such as thing-1.0-py3-none-any.whl")
            os.makedirs(kept, exist_ok=True)
            shutil.copy(wheel, kept)
            asked.append("{}=={}".format(normalized(parts[0]), parts[1]))
    return asked


def resolved(asked: Sequence[str], base: Sequence[Pin], wheels: str) -> List[Pin]:
    """What must be added to `base` for the packages that are asked for, in the versions that pip takes now."""
    for one in asked:
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?([=<>!~][A-Za-z0-9.,*+!<>=~ -]*)?$", one):
            raise Refused(
                "{!r} is not the name of a package".format(one), "write NAME or NAME==VERSION, or the path of a wheel"
            )
    with tempfile.TemporaryDirectory() as folder:
        constraints, report = os.path.join(folder, "constraints.txt"), os.path.join(folder, "report.json")
        with open(constraints, "w", encoding="utf-8") as file:
            file.writelines("{}=={}\n".format(pin.name, pin.version) for pin in base)
        command = pip() + ["install", "--dry-run", "--ignore-installed", "--quiet", "--no-input", "--report", report]
        command += ["--only-binary", ":all:", "--target", os.path.join(folder, "site"), "-c", constraints]
        command += ["--find-links", wheels] if os.path.isdir(wheels) else []
        if subprocess.run(command + list(asked), env=settings()).returncode:
            raise Refused(
                "pip finds no wheels of {} that go with the pinned packages".format(", ".join(asked)),
                "see what it says above; another version may: --with 'NAME<2'",
            )
        with open(report, encoding="utf-8") as file:
            found = json.load(file)["install"]
    known = {pin.name for pin in base}
    pins = []
    for package in found:
        name, version = normalized(package["metadata"]["name"]), package["metadata"]["version"]
        if name not in known:
            pins.append(Pin(name, version, [sha256_of(package["download_info"])]))
    return sorted(pins, key=lambda pin: pin.name)


def sha256_of(source: Any) -> str:
    """The hash of a wheel, of an index or of a local file."""
    hashes = source.get("archive_info", {}).get("hashes", {})
    if source["url"].startswith("file:"):
        import urllib.parse
        import urllib.request

        path = urllib.request.url2pathname(urllib.parse.urlsplit(source["url"]).path)
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    if "sha256" not in hashes:
        raise Refused("the index has no hash for {}".format(source["url"]), "take the wheel itself: --with PATH")
    return str(hashes["sha256"])


# Installing


def install(site: str, pins: Sequence[Pin], downloads: str, wheels: str) -> None:
    """Installs the wheels, each held against its hash. Those that are complete stay in `downloads` until all are installed."""
    fetch(pins, downloads, wheels)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.writelines(pin.line() + "\n" for pin in pins)
        listed.flush()
        command = pip() + ["install", "--quiet", "--no-input", "--no-deps", "--no-compile", "--require-hashes"]
        command += ["--only-binary", ":all:", "--no-index", "--find-links", downloads]
        command += ["--root-user-action", "ignore", "--no-warn-conflicts", "--target", site, "-r", listed.name]
        if subprocess.run(command, env=settings()).returncode:
            raise Refused("pip could not install the packages", "see what it says above")
    # Commands and their manual pages; a folder here would be taken for a module.
    for folder in ("bin", "etc", "share"):
        shutil.rmtree(os.path.join(site, folder), ignore_errors=True)


def fetch(pins: Sequence[Pin], downloads: str, wheels: str) -> None:
    """Downloads the wheels that are not there, some at a time."""
    os.makedirs(downloads, exist_ok=True)
    there = {hashed(os.path.join(downloads, name)) for name in os.listdir(downloads)}
    left = [pin for pin in pins if not there.intersection(pin.hashes)]
    command = pip() + ["download", "--quiet", "--no-input", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--dest", downloads] + (["--find-links", wheels] if os.path.isdir(wheels) else [])
    for start in range(0, len(left), BATCH):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
            listed.writelines(pin.line() + "\n" for pin in left[start : start + BATCH])
            listed.flush()
            if subprocess.run(command + ["-r", listed.name], env=settings()).returncode == 0:
                continue
        libc = interpreter.glibc()
        if libc is None or libc < (2, 28):
            raise Refused(
                "pip could not download the packages", "the wheels need glibc 2.28 or newer; see what pip says above"
            )
        raise Refused(
            "pip could not download the packages",
            "see what it says above; it must reach a package index. The next run goes on from here",
        )


def compile_ahead(site: str, later: str) -> None:
    """Writes the bytecode that programs cannot write, with the place where it will lie in the end."""
    command = [sys.executable, "-I", "-S", "-m", "compileall", "-q", "-j", "0", "-x", TESTS]
    command += ["-s", site, "-p", later, site]
    # It ends with 1 where a file is for another Python, which some packages carry.
    subprocess.run(command, stdout=subprocess.DEVNULL)


def import_names(site: str) -> Dict[str, List[str]]:
    """The modules of each package, by its name: the one of its own name where there is one, else all that are public."""
    names = {}  # type: Dict[str, List[str]]
    for folder in os.listdir(site):
        if not folder.endswith(".dist-info"):
            continue
        package = normalized(folder.split("-")[0])
        with open(os.path.join(site, folder, "RECORD"), encoding="utf-8") as file:
            tops = {line.split(",")[0].strip('"').split("/")[0] for line in file}
        modules = {re.sub(r"\.py$|(\.[\w-]+)?\.so$", "", top) for top in tops}
        public = {one for one in modules if one.isidentifier() and not one.startswith("_")}
        own = [one for one in public if normalized(one) == package]
        useless = {"bin", "docs", "etc", "examples", "share", "test", "tests"}
        names[package] = own or sorted(public - useless)
    return names


def probed(site: str, packages: Iterable[str]) -> Dict[str, Any]:
    """Imports every package once: what can be imported, and which folders that needs."""
    known = import_names(site)
    names = [module for name in packages for module in known.get(name, [])]
    command = [sys.executable, "-I", "-S", "-B", PROBE, site] + names
    environment = dict(clean(os.environ), OPENBLAS_NUM_THREADS="1", HOME="/nonexistent")
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True
    )
    if done.returncode:
        raise Refused(
            "the packages bring Python down: {}".format(done.stderr.strip()[-500:]),
            "see whether this machine can run them",
        )
    seen = json.loads(done.stdout.splitlines()[-1])
    if seen["failed"]:
        why = "packages that cannot be imported: {}".format("; ".join(seen["failed"])[:800])
        raise Refused(why, "a library of the system may be missing: the message names it")
    return dict(seen)


# Helpers


def hashed(path: str) -> Optional[str]:
    """The sha256 of a file; None where there is none."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return None


def clean(environment: Mapping[str, str]) -> Dict[str, str]:
    """The environment without what would make a Python another one."""
    return {
        key: value
        for key, value in environment.items()
        if key not in ("PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__")
    }
