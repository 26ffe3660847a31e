"""Installs the scientific tier: packages, the worker that embeds this Python, and a manifest.

    python3 sandboxes/native/install.py [--into DIR] [--profile e2b] [--with NAME]...

The Python that runs this is the one that will be embedded. DIR is replaced as a whole, and only when all has gone well.
Only the standard library is used, and old Pythons must be able to read this file, so that they are refused with a message.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence

import interpreter
import packages
from interpreter import Interpreter, Refused
from packages import PROFILES, Pin, clean, hashed

HERE = os.path.dirname(os.path.abspath(__file__))
CRATE = os.path.join(HERE, "worker", "Cargo.toml")
WORKER = "switchtower-native"

#: Changes when what is below makes another folder from the same inputs.
RECIPE = 2


def main(arguments: Sequence[str]) -> None:
    options = parsed(arguments)
    started = time.monotonic()
    # Programs run as other users: they must be able to read what is made here.
    os.umask(0o022)
    try:
        python = interpreter.running()
        interpreter.check(python)
        into = os.path.abspath(options.into or default_folder())
        with alone(into):
            recover(into)
            replaceable(into)
            wanted = chosen(into, python, options)
            worker = given(options.worker, python) if options.worker else built(python, options.debug)
            done = install(into, python, worker, wanted)
    except Refused as refused:
        sys.exit("cannot install the scientific tier.\nwhy:  {}\nfix:  {}".format(refused, refused.fix))
    except OSError as error:
        fix = "free disk space, and choose a folder that you may write to with --into"
        sys.exit("cannot install the scientific tier.\nwhy:  {}\nfix:  {}".format(error, fix))
    except KeyboardInterrupt:
        sys.exit("stopped; what was installed before is as it was")
    if not done:
        say("nothing to do: {} is up to date".format(into))
        return
    say("installed in {:.0f} s, {} MB: {}".format(time.monotonic() - started, size(into) // 1000000, into))
    for folder in unreadable([into, python.home, os.path.dirname(python.library)]):
        say(
            "note: {0} is closed to other users. Where switchtower is started as root, programs run as a user of their "
            "own and may need it: chmod o+x {0}, or choose another place with --into".format(folder)
        )
    if into != default_folder():
        say('next: in the settings, [native] folder = "{}"; then switchtower doctor'.format(into))
    else:
        say("next: switchtower doctor; a server that is running must be started anew")


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Installs the scientific tier of switchtower for the Python that runs this."
    )
    parser.add_argument("--into", metavar="DIR", help="where to (default: {})".format(default_folder()))
    parser.add_argument("--profile", choices=sorted(PROFILES), help="the set of packages (default: as before)")
    parser.add_argument(
        "--with",
        dest="added",
        action="append",
        default=[],
        metavar="NAME",
        help="adds a package with what it needs, as wheels: NAME, NAME==VERSION, a wheel, or a folder of wheels",
    )
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="removes what --with added")
    parser.add_argument("--debug", action="store_true", help="a debug build of the worker")
    parser.add_argument("--worker", metavar="PATH", help="a ready-made worker, instead of building one")
    return parser.parse_args(arguments)


def default_folder() -> str:
    data = os.environ.get("XDG_DATA_HOME") or ""
    data = data if os.path.isabs(data) else os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(data, "switchtower", "native")


# The folder


@contextlib.contextmanager
def alone(into: str) -> Iterator[None]:
    """Two installations into one place would undo each other: the second is refused."""
    import fcntl

    parent = os.path.dirname(into)
    try:
        os.makedirs(parent, exist_ok=True)
        held = os.open(parent, os.O_RDONLY)
    except OSError as error:
        raise Refused(str(error), "choose a place that you may write to with --into") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Refused("another installation into {} is going on".format(parent), "wait for its end") from None
    finally:
        os.close(held)


def recover(into: str) -> None:
    """Puts the old folder back where an earlier run ended between the two renames."""
    if os.path.isdir(into + ".old"):
        if os.path.exists(into):
            shutil.rmtree(into + ".old")
        else:
            os.rename(into + ".old", into)


def replaceable(into: str) -> None:
    """What is replaced must be an installation, or nothing."""
    if os.path.exists(into) and manifest(into) is None and (not os.path.isdir(into) or os.listdir(into)):
        raise Refused(
            "{} holds something else than an installation".format(into), "name an empty or a new folder with --into"
        )


def manifest(into: str) -> Optional[Dict[str, Any]]:
    try:
        with open(os.path.join(into, "manifest.json"), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


class Wanted:
    """The packages of an installation: a profile, and what was added to it."""

    def __init__(self, profile: str, base: Sequence[Pin], asked: Sequence[str], added: Sequence[Pin]) -> None:
        self.profile = profile
        #: The pins of the profile.
        self.base = list(base)
        #: What --with named, as it was written.
        self.asked = list(asked)
        #: The pins of that, with what it needs.
        self.added = list(added)

    @property
    def size(self) -> int:
        """Bytes on the disk while the profile is installed, with the wheels."""
        return (PROFILES[self.profile].download + PROFILES[self.profile].installed) * 1000000

    def pins(self) -> List[Pin]:
        return self.base + self.added

    def record(self) -> Dict[str, Any]:
        """For the next run: what was added stays, in its version."""
        added = [[pin.name, pin.version, pin.hashes] for pin in self.added]
        return {"profile": self.profile, "asked": self.asked, "added": added, "base": digest_of(self.base)}


def chosen(into: str, python: Interpreter, options: argparse.Namespace) -> Wanted:
    """The packages that the options and the installation that is there ask for; says what they take before work begins."""
    old = (manifest(into) or {}).get("wanted") or {}
    profile = options.profile or old.get("profile") or "default"
    base = packages.pinned(PROFILES[profile].lists, python.version[1])
    wheels = wheels_of(into)
    new = packages.local_wheels(options.added, wheels)
    gone = {packages.normalized(name) for name in options.without}
    asked = [one for one in old.get("asked", []) + new if plain(one) not in gone]
    # The last word about a package counts.
    asked = list({plain(one): one for one in asked}.values())
    unknown = gone - {plain(one) for one in old.get("asked", [])}
    if unknown:
        raise Refused(
            "{} was not added".format(", ".join(sorted(unknown))), "--without takes what was given to --with before"
        )
    if asked == old.get("asked") and digest_of(base) == old.get("base"):
        added = [Pin(*each) for each in old["added"]]
    else:
        added = packages.resolved(asked, base, wheels) if asked else []
    size = PROFILES[profile]
    text = "profile {}: {} packages, about {} MB to download and {} MB on the disk".format(
        profile, len(base), size.download, size.installed
    )
    more = ["{} {}".format(pin.name, pin.version) for pin in added]
    say(text + ("; added: {}".format(", ".join(more)) if more else ""))
    return Wanted(profile, base, asked, added)


def plain(asked: str) -> str:
    """The name of the package in what was asked for."""
    return packages.normalized(re.split(r"[^A-Za-z0-9._-]", asked, maxsplit=1)[0])


def digest_of(pins: Iterable[Pin]) -> str:
    return hashlib.sha256("\n".join(pin.line() for pin in pins).encode()).hexdigest()


def wheels_of(into: str) -> str:
    """Where wheels are kept that were given as files: the next installation needs them again."""
    return into + ".added"


def install(into: str, python: Interpreter, worker: str, wanted: Wanted) -> bool:
    """Makes the folder; False where it is there already, as it would be made."""
    old = manifest(into) or {}
    pins = wanted.pins()
    made_for = [RECIPE, python.text, python.home, python.library, digest_of(pins)]
    digest = hashlib.sha256(json.dumps([made_for, hashed(worker)]).encode()).hexdigest()
    there = hashed(os.path.join(into, WORKER)) == hashed(worker) and os.path.isdir(os.path.join(into, "site"))
    if there and old.get("digest") == digest:
        return False

    new, downloads = into + ".new", into + ".wheels"
    shutil.rmtree(new, ignore_errors=True)
    try:
        os.mkdir(new, 0o755)
        site = os.path.join(new, "site")
        if old.get("site") == made_for and os.path.isdir(os.path.join(into, "site")):
            # Only the worker is another: the packages are shared with the old folder until it goes.
            shutil.copytree(os.path.join(into, "site"), site, symlinks=True, copy_function=os.link)
        else:
            say("packages: {} wheels".format(len(pins)))
            free = shutil.disk_usage(os.path.dirname(into)).free
            if free < wanted.size:
                raise Refused(
                    "{} MB are free, and this needs {} MB".format(free // 1000000, wanted.size // 1000000),
                    "free disk space, or choose another place with --into",
                )
            packages.install(site, pins, downloads, wheels_of(into))
            packages.compile_ahead(site, os.path.join(into, "site"))
        shutil.copyfile(worker, os.path.join(new, WORKER))
        os.chmod(os.path.join(new, WORKER), 0o755)
        protocol = protocol_of(os.path.join(new, WORKER))
        versions = {pin.name: pin.version for pin in sorted(pins, key=lambda pin: pin.name)}
        seen = packages.probed(site, versions)
        readable = seen["readable"] + [os.path.dirname(python.library)]
        content = {
            "format": 1,
            # What switchtower compares with its own before it starts this worker.
            "protocol": protocol["protocol"],
            "version": protocol["version"],
            "python": python.text,
            "home": python.home,
            "stdlib": sysconfig.get_path("stdlib"),
            "readable": interpreter.outermost(readable),
            "library": python.library,
            "packages": versions,
            "modules": seen["modules"],
            "digest": digest,
            # For the next run of this script: what the packages were installed for, and which were asked for.
            "site": made_for,
            "wanted": wanted.record(),
        }
        with open(os.path.join(new, "manifest.json"), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        swap(new, into)
        shutil.rmtree(downloads, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        # Wheels that are complete stay for the next run.
        with contextlib.suppress(OSError):
            os.rmdir(downloads)
    return True


def swap(new: str, into: str) -> None:
    """Puts the new folder in the old one's place; the old one is there until the new one is."""
    had = os.path.exists(into)
    if had:
        os.rename(into, into + ".old")
    try:
        os.rename(new, into)
    except OSError:
        if had:
            os.rename(into + ".old", into)
        raise
    shutil.rmtree(into + ".old", ignore_errors=True)


# The worker


def built(python: Interpreter, debug: bool) -> str:
    """Builds the worker from this checkout, linked to this Python."""
    if shutil.which("cargo") is None:
        raise Refused(
            "cargo is missing, which builds the worker",
            "install Rust (https://rustup.rs), or give a worker with --worker",
        )
    if not os.path.isfile(CRATE):
        raise Refused("{} is missing".format(CRATE), "run this from a whole checkout, or give a worker with --worker")
    say("worker: cargo build")
    command = ["cargo", "build", "--locked", "--manifest-path", CRATE, "--bin", WORKER]
    command += ["--message-format", "json-render-diagnostics"] + ([] if debug else ["--release"]) + features()
    environment = dict(
        clean(os.environ), PYO3_PYTHON=sys.executable, SWITCHTOWER_LIBPYTHON_DIR=os.path.dirname(python.library)
    )
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, universal_newlines=True)
    if done.returncode:
        raise Refused("cargo could not build the worker", "see what it says above")
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == WORKER]
    return linked(found[-1], python)


def features() -> List[str]:
    """A workspace without Python builds without the worker's one feature that needs it."""
    import tomllib

    with open(CRATE, "rb") as file:
        return ["--features", "python"] if "python" in tomllib.load(file).get("features", {}) else []


def given(worker: str, python: Interpreter) -> str:
    if not os.access(worker, os.X_OK) or os.path.isdir(worker):
        raise Refused(
            "{} is not an executable".format(worker), "let --worker name a worker that was built for this Python"
        )
    return linked(worker, python)


def linked(worker: str, python: Interpreter) -> str:
    """The worker, where it will find the library of this Python and no other."""
    # The loader answers, and does not run it.
    traced = subprocess.run(
        [worker],
        env={"LD_TRACE_LOADED_OBJECTS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        universal_newlines=True,
    ).stdout
    libraries = dict(re.findall(r"^\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$", traced, re.MULTILINE))
    wanted = os.path.realpath(python.library)
    found = [path for name, path in libraries.items() if name.startswith("libpython")]
    if [os.path.realpath(path) for path in found] != [wanted]:
        why = "{} is linked to {}, not to {}".format(worker, ", ".join(found) or "no Python", wanted)
        raise Refused(
            why, "build it with this Python (leave --worker away), or run this with the Python it was built for"
        )
    return worker


def protocol_of(worker: str) -> Any:
    """Returns the number of the protocol that the worker implements, and the worker's version."""
    try:
        done = subprocess.run(
            [worker, "protocol"],
            env=clean(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
        )
        report = json.loads(done.stdout)
        return {"protocol": int(report["protocol"]), "version": str(report["version"])}
    except (OSError, ValueError, KeyError, TypeError):
        raise Refused(
            "{} does not report its protocol version".format(worker),
            "build it from this checkout (leave --worker away)",
        ) from None


# Helpers


def unreadable(paths: Iterable[str]) -> List[str]:
    """Folders above that users other than the owner may not pass, where the owner is root."""
    if os.geteuid() != 0:
        return []
    above = set()
    for path in paths:
        while path != os.path.dirname(path):
            above.add(path)
            path = os.path.dirname(path)
    return sorted(path for path in above if not os.stat(path).st_mode & 0o001)


def size(folder: str) -> int:
    """Bytes on the disk."""
    return sum(
        os.lstat(os.path.join(where, file)).st_blocks * 512 for where, _, files in os.walk(folder) for file in files
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
