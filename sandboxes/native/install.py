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
import signal
import subprocess
import sys
import sysconfig
import time
from typing import Any, Dict, Iterable, List, Sequence

import folder
import interpreter
import packages
import reuse
import wheels
from interpreter import Interpreter, Refused
from packages import PROFILES, Pin, clean, digest_of, hashed, plain
from wheels import Wheel

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
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    into = os.path.abspath(options.into or default_folder())
    before = folder.manifest(into)
    try:
        python = interpreter.running()
        interpreter.check(python)
        with folder.alone(into):
            folder.recover(into)
            before = folder.manifest(into)
            folder.replaceable(into)
            folder.discard(into, folder.leftovers(into), "removing what an earlier run left")
            wanted = chosen(into, python, options)
            worker = given(options.worker, python) if options.worker else ""
            plan = planned(into, python, wanted)
            announce(into, wanted, plan)
            done = install(into, python, worker or built(python, options.debug), wanted, plan)
            tidy(into, wanted, done)
    except Refused as refused:
        sys.exit("cannot install the scientific tier.\nwhy:  {}\nfix:  {}".format(refused, refused.fix))
    except OSError as error:
        fix = "free disk space, and choose a folder that you may write to with --into"
        sys.exit("cannot install the scientific tier.\nwhy:  {}\nfix:  {}".format(error, fix))
    except KeyboardInterrupt:
        if folder.manifest(into) == before:
            sys.exit("stopped; what was installed before is as it was")
        sys.exit("stopped after the installation; the next run removes what is left of the one before: {}".format(into))
    if not done:
        packages.say("nothing to do: {} is up to date".format(into))
        return
    size = folder.size(into) // 1000000
    packages.say("installed in {:.0f} s, {} MB: {}".format(time.monotonic() - started, size, into))
    for closed in unreadable([into, python.home, os.path.dirname(python.library)]):
        packages.say(
            "note: {0} is closed to other users. Where switchtower is started as root, programs run as a user of their "
            "own and may need it: chmod o+x {0}, or choose another place with --into".format(closed)
        )
    setting = "" if into == default_folder() else 'in the settings, [native] folder = "{}"; then '.format(into)
    packages.say("next: {}switchtower doctor; a server that is running must be started anew".format(setting))


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


# What is wanted


class Wanted:
    """The packages of an installation: a profile, and what was added to it."""

    def __init__(
        self, profile: str, base: Sequence[Pin], asked: Sequence[str], added: Sequence[Pin], wheels: Sequence[Wheel]
    ) -> None:
        self.profile = profile
        #: The pins of the profile.
        self.base = list(base)
        #: What --with named, as it was written.
        self.asked = list(asked)
        #: The pins of that, with what it needs.
        self.added = list(added)
        #: Those that were given as files.
        self.wheels = list(wheels)

    def pins(self) -> List[Pin]:
        return self.base + self.added

    def record(self) -> Dict[str, Any]:
        """For the next run: what was added stays, in its version."""
        added = [[pin.name, pin.version, pin.hashes] for pin in self.added]
        return {"profile": self.profile, "asked": self.asked, "added": added, "base": digest_of(self.base)}


def chosen(into: str, python: Interpreter, options: argparse.Namespace) -> Wanted:
    """The packages that the options and the installation that is there ask for."""
    before = folder.manifest(into) or {}
    old = before.get("wanted") or {}
    profile = options.profile or old.get("profile") or "default"
    base = packages.pinned(PROFILES[profile].lists, python.version[1])
    gone = {wheels.normalized(name) for name in options.without}
    removable(gone, old, base, profile)
    named, files = wheels.given(options.added)
    new = [one for one in named if not in_profile(one, base, profile)]
    asked = [one for one in old.get("asked", []) + new if plain(one) not in gone]
    # The last word about a package counts.
    asked = list({plain(one): one for one in asked}.values())
    kept = [wheel for wheel in wheels.kept(wheels_of(into), asked) if wheel.asked not in new]
    files = kept + [wheel for wheel in files if wheel.asked in asked]
    were = [Pin(*each) for each in old.get("added", [])]
    same = asked == old.get("asked") and digest_of(base) == old.get("base")
    if same and not any(wheel.asked in new for wheel in files) and before.get("site", [])[:4] == made_for(python):
        added = were
    else:
        renewed = {plain(one) for one in new}
        stay = [pin for pin in were if pin.name not in renewed]
        added = packages.resolved(asked, base, stay, files, profile) if asked else []
    return Wanted(profile, base, asked, added, files)


def in_profile(asked: str, base: Sequence[Pin], profile: str) -> bool:
    """Whether the profile has this package as it is asked for; refused where it has another version."""
    versions = {pin.name: pin.version for pin in base}
    version = versions.get(plain(asked))
    exact = re.match(r"[A-Za-z0-9._-]+(?:===?([^,]+))?$", asked)
    if version is None or exact is None:
        return False
    if exact.group(1) not in (None, version):
        raise Refused(
            "the profile {} has {} {}, and programs get this version".format(profile, plain(asked), version),
            "leave --with {} away".format(asked),
        )
    packages.say("{} {} is in the profile {} already".format(plain(asked), version, profile))
    return True


def removable(gone: Iterable[str], old: Dict[str, Any], base: Sequence[Pin], profile: str) -> None:
    """What --without names must have been added."""
    asked = old.get("asked", [])
    for name in sorted(set(gone) - {plain(one) for one in asked}):
        added = "what was added: {}".format(", ".join(asked)) if asked else "nothing: no package was added"
        if name in {pin.name for pin in base}:
            raise Refused(
                "{} belongs to the profile {} and cannot be removed".format(name, profile),
                "leave --without {} away; it can remove {}".format(name, added),
            )
        if name in {each[0] for each in old.get("added", [])}:
            raise Refused(
                "{} was not asked for: a package that was added needs it".format(name),
                "leave --without {} away; it can remove {}".format(name, added),
            )
        raise Refused("{} was not added".format(name), "--without can remove {}".format(added))


def wheels_of(into: str) -> List[str]:
    """Where wheels are kept that were given as files: the next installation may need them again. Earlier versions of this
    script kept them beside the folder."""
    return [os.path.join(into, "wheels"), into + ".added"]


def made_for(python: Interpreter) -> List[Any]:
    return [RECIPE, python.text, python.home, python.library]


# What is to be done


class Plan:
    """What stays of the installation that is there, and what is installed anew."""

    def __init__(self, stay: Dict[str, reuse.Files], install: Sequence[Pin], remove: Sequence[str]) -> None:
        #: The packages that stay, with their files.
        self.stay = stay
        self.install = list(install)
        #: The packages that go.
        self.remove = list(remove)


def planned(into: str, python: Interpreter, wanted: Wanted) -> Plan:
    before = folder.manifest(into) or {}
    site, pins = os.path.join(into, "site"), wanted.pins()
    stay: Dict[str, reuse.Files] = {}
    if before.get("site", [])[:4] == made_for(python):
        bases = {name: packages.pinned(one.lists, python.version[1]) for name, one in PROFILES.items()}
        stay = reuse.staying(site, reuse.pins_of(before, bases), pins)
    install = [pin for pin in pins if pin.name not in stay]
    remove = sorted(set(before.get("packages", {})) - {pin.name for pin in pins}) if stay else []
    return Plan(stay, install, remove)


def announce(into: str, wanted: Wanted, plan: Plan) -> None:
    """Says what will be downloaded and installed, if anything is; refuses where the disk is too small."""
    if not plan.install and not plan.remove:
        return
    download = packages.absent(plan.install, into + ".wheels", wanted.wheels)
    one_by_one = ", ".join("{} {}".format(pin.name, pin.version) for pin in plan.install[:12])
    if plan.stay:
        parts = ["packages: {} stay".format(len(plan.stay))]
        if plan.install:
            parts.append("to install: {}".format(one_by_one + (" …" if len(plan.install) > 12 else "")))
            parts.append("wheels to download: {}".format(len(download)))
        if plan.remove:
            parts.append("to remove: {}".format(", ".join(plan.remove)))
        packages.say("; ".join(parts))
        return
    size = PROFILES[wanted.profile]
    here = sum(packages.sizes(plan.install, into + ".wheels")) // 1000000
    left = max(size.download - here, 0) if download else 0
    loads = "{} to download, about {} MB".format(len(download), left) if download else "all wheels are there"
    more = ", ".join("{} {}".format(pin.name, pin.version) for pin in wanted.added)
    packages.say(
        "profile {}: {} wheels to install ({}), about {} MB on the disk{}".format(
            wanted.profile, len(plan.install), loads, size.installed, "; added: " + more if more else ""
        )
    )
    free, need = shutil.disk_usage(os.path.dirname(into)).free // 1000000, left + size.installed
    if free < need:
        raise Refused(
            "{} MB are free, and this needs {} MB".format(free, need),
            "free disk space, or choose another place with --into",
        )


def install(into: str, python: Interpreter, worker: str, wanted: Wanted, plan: Plan) -> bool:
    """Makes the folder; False where it is there already, as it would be made. The old one is then beside it."""
    old = folder.manifest(into) or {}
    pins = wanted.pins()
    site_for = made_for(python) + [digest_of(pins)]
    digest = hashlib.sha256(json.dumps([site_for, hashed(worker)]).encode()).hexdigest()
    there = hashed(os.path.join(into, WORKER)) == hashed(worker) and not plan.install and not plan.remove
    if there and old.get("digest") == digest:
        return False

    new, downloads = into + ".new", into + ".wheels"
    try:
        os.mkdir(new, 0o755)
        site, later = os.path.join(new, "site"), os.path.join(into, "site")
        os.mkdir(site, 0o755)
        if plan.install:
            packages.fetch(plan.install, downloads, wanted.wheels)
            more = os.path.join(new, "more")
            packages.install(more, plan.install, downloads)
            packages.say("compiling")
            packages.compile_ahead(more, later)
        # The files are shared with the old folder until it goes.
        reuse.take_over(later, site, plan.stay.values())
        if plan.install:
            reuse.merge(more, site)
        for wheel in wanted.wheels:
            os.makedirs(os.path.join(new, "wheels"), exist_ok=True)
            shutil.copyfile(wheel.path, os.path.join(new, "wheels", os.path.basename(wheel.path)))
        shutil.copyfile(worker, os.path.join(new, WORKER))
        os.chmod(os.path.join(new, WORKER), 0o755)
        protocol = protocol_of(os.path.join(new, WORKER))
        versions = {pin.name: pin.version for pin in sorted(pins, key=lambda pin: pin.name)}
        packages.say("trying whether each package can be imported")
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
            "site": site_for,
            "pins": reuse.digests(pins),
            "wanted": wanted.record(),
        }
        with open(os.path.join(new, "manifest.json"), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        folder.swap(new, into)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        # Wheels that are complete stay for the next run.
        with contextlib.suppress(OSError):
            os.rmdir(downloads)
    return True


def tidy(into: str, wanted: Wanted, done: bool) -> None:
    """Removes what the installation that is there now needs no more: the old one, and wheels."""
    paths = folder.leftovers(into) + [into + ".wheels"]
    if done or not wanted.wheels:
        paths.append(into + ".added")
    folder.discard(into, paths, "removing what is not needed any more")


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
    packages.say("worker: cargo build")
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


if __name__ == "__main__":
    main(sys.argv[1:])
