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
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import interpreter
from interpreter import Refused
from wheels import Wheel, normalized

HERE = os.path.dirname(os.path.abspath(__file__))
PROBE = os.path.join(HERE, "probe_packages.py")

#: Packages' own tests: they stay, for some packages import parts of them, but are not compiled ahead.
TESTS = r"/tests?/"

#: What pip puts beside the modules: commands, settings and manual pages.
OUTSIDE = ("bin", "etc", "share")

#: What pip calls packages that do not go together.
IMPOSSIBLE = "ResolutionImpossible"

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
    "default": Profile(["requirements.txt"], 359, 1520),
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


def digest_of(pins: Iterable[Pin]) -> str:
    return hashlib.sha256("\n".join(pin.line() for pin in pins).encode()).hexdigest()


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


def plain(asked: str) -> str:
    """The name of the package in what was asked for."""
    return normalized(re.split(r"[^A-Za-z0-9._-]", asked, maxsplit=1)[0])


def resolved(
    asked: Sequence[str], base: Sequence[Pin], before: Sequence[Pin], wheels: Sequence[Wheel], profile: str
) -> List[Pin]:
    """What must be added to `base` for the packages that are asked for, in the versions that pip takes now; those that
    were there before stay as they are if that is possible."""
    for one in asked:
        if not re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?([=<>!~][A-Za-z0-9.,*+!<>=~ -]*)?$", one):
            raise Refused(
                "{!r} is not the name of a package".format(one), "write NAME or NAME==VERSION, or the path of a wheel"
            )
    files = {wheel.name: wheel.path for wheel in wheels}
    sources = [files.get(plain(one), one) for one in asked]
    say("asking pip what {} needs".format(", ".join(asked)))
    found, said = report(sources, list(base) + list(before))
    if found is None and before and IMPOSSIBLE in said:
        found, said = report(sources, base)
    if found is None:
        raise unresolved(asked, said, profile)
    known = {pin.name for pin in base}
    pins = []
    for package in found:
        name, version = normalized(package["metadata"]["name"]), package["metadata"]["version"]
        if name not in known:
            pins.append(Pin(name, version, [sha256_of(package["download_info"])]))
    return sorted(pins, key=lambda pin: pin.name)


def report(sources: Sequence[str], limits: Sequence[Pin]) -> Tuple[Optional[List[Any]], str]:
    """What pip would install for these, beside packages in these versions: None where it cannot; and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        constraints, path = os.path.join(folder, "constraints.txt"), os.path.join(folder, "report.json")
        with open(constraints, "w", encoding="utf-8") as file:
            file.writelines("{}=={}\n".format(pin.name, pin.version) for pin in limits)
        command = pip() + ["install", "--dry-run", "--ignore-installed", "--no-input", "--report", path]
        command += ["--only-binary", ":all:", "--target", os.path.join(folder, "site"), "-c", constraints]
        command += ["--progress-bar", "off"] + list(sources)
        # What does not go together is told in the ordinary output only.
        done = subprocess.run(
            command,
            env=settings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            errors="replace",
        )
        if done.returncode:
            return None, done.stdout
        with open(path, encoding="utf-8") as file:
            return json.load(file)["install"], done.stdout


def unresolved(asked: Sequence[str], said: str, profile: str) -> Refused:
    """Why pip found nothing, as what it said tells, and what to do about it."""
    say("\n".join(line for line in said.splitlines() if re.match(r"WARNING|ERROR", line)))
    listing = "{} -m pip index versions {{}}".format(sys.executable)
    names = [plain(one) for one in asked]
    conflicts = re.findall(r"^ +(\S+) (?:(\S+) )?depends on ([^;\n]+)", said, re.MULTILINE)
    pinned = re.findall(r"^ +The user requested \(constraint\) (\S+)$", said, re.MULTILINE)
    if IMPOSSIBLE in said and (conflicts or pinned):
        reasons = ["{} {} needs {}".format(*one).replace("  ", " ") for one in conflicts[:5]]
        reasons = reasons or re.findall(r"^ +The user requested ([^( ].*)$", said, re.MULTILINE)
        name = next((one[0] for one in conflicts if normalized(one[0]) in names), plain(reasons[0]) if reasons else "")
        name = name if normalized(name) in names else names[-1]
        fixed = ", ".join(pinned[:5])
        why = "{}; the profile {} has {}".format("; ".join(reasons), profile, fixed) if pinned else "; ".join(reasons)
        if not conflicts:
            return Refused("asked for: " + why, "leave --with {} away".format(reasons[0] if reasons else asked[-1]))
        return Refused(
            why,
            "another version of {0} may go with them: {1} lists all; then --with {0}== and one of those".format(
                name, listing.format(name)
            ),
        )
    missing = re.search(r"No matching distribution found for ([^\s(]+)", said)
    if missing is None:
        return Refused("pip cannot resolve {}".format(", ".join(asked)), "see what it says above")
    wanted, name = missing.group(1), plain(missing.group(1))
    found = re.search(r"\(from versions: ([^)]*)\)", said)
    versions = found.group(1).split(", ") if found and found.group(1) not in ("", "none") else []
    if versions and name in [plain(one) for one in asked]:
        return Refused(
            "there is no wheel of {} for this Python; there are wheels of {}".format(wanted, ", ".join(versions[-8:])),
            "--with {}=={}".format(name, versions[-1]),
        )
    if "Retrying (" in said:
        return Refused(
            "pip does not reach its package index",
            "see what it says above; without a network, give the wheels: --with and a file or a folder",
        )
    needed = "" if name in [plain(one) for one in asked] else ", which {} needs".format(", ".join(asked))
    return Refused(
        "pip finds no wheel of {} for this Python{}".format(wanted, needed),
        "see whether the name is right: {0} lists its versions. Where there is only source, make a wheel "
        "({1} -m pip wheel --no-deps {2}) and give its path to --with".format(
            listing.format(name), sys.executable, name
        ),
    )


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


def install(site: str, pins: Sequence[Pin], downloads: str) -> None:
    """Installs the wheels of a folder, each held against its hash."""
    say("installing {} ({} MB of wheels)".format(counted(pins), sum(sizes(pins, downloads)) // 1000000))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.writelines(pin.line() + "\n" for pin in pins)
        listed.flush()
        command = pip() + ["install", "--quiet", "--no-input", "--no-deps", "--no-compile", "--require-hashes"]
        command += ["--only-binary", ":all:", "--no-index", "--find-links", downloads]
        command += ["--root-user-action", "ignore", "--no-warn-conflicts", "--target", site, "-r", listed.name]
        if subprocess.run(command, env=settings()).returncode:
            raise Refused("pip could not install the packages", "see what it says above")
    # Commands and their manual pages; a folder here would be taken for a module.
    for folder in OUTSIDE:
        shutil.rmtree(os.path.join(site, folder), ignore_errors=True)


def arrived(downloads: str) -> Dict[str, str]:
    """The files that are there, by their hashes."""
    paths = [os.path.join(downloads, name) for name in os.listdir(downloads)] if os.path.isdir(downloads) else []
    return {hashed(path) or "": path for path in paths if os.path.isfile(path)}


def sizes(pins: Sequence[Pin], downloads: str) -> List[int]:
    """Bytes of those wheels that are there."""
    there = arrived(downloads)
    return [os.path.getsize(there[one]) for pin in pins for one in pin.hashes if one in there]


def absent(pins: Sequence[Pin], downloads: str, wheels: Sequence[Wheel]) -> List[Pin]:
    """The packages whose wheels must be downloaded: no file is there with the right hash."""
    there = set(arrived(downloads)).union(hashed(wheel.path) for wheel in wheels)
    return [pin for pin in pins if not there.intersection(pin.hashes)]


def fetch(pins: Sequence[Pin], downloads: str, wheels: Sequence[Wheel]) -> None:
    """Puts the wheels of these packages into a folder: those that are there, and downloads of the others, some at a time."""
    os.makedirs(downloads, exist_ok=True)
    hashes = {one for pin in pins for one in pin.hashes}
    for wheel in wheels:
        if hashed(wheel.path) in hashes:
            shutil.copyfile(wheel.path, os.path.join(downloads, os.path.basename(wheel.path)))
    left = absent(pins, downloads, wheels)
    command = pip() + ["download", "--quiet", "--no-input", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    command += ["--dest", downloads]
    for start in range(0, len(left), BATCH):
        batch = left[start : start + BATCH]
        names = ", ".join(pin.name for pin in batch)
        say("downloading {} to {} of {}: {}".format(start + 1, start + len(batch), len(left), names))
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
            listed.writelines(pin.line() + "\n" for pin in batch)
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


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def counted(pins: Sequence[Pin]) -> str:
    return "1 package" if len(pins) == 1 else "{} packages".format(len(pins))


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
