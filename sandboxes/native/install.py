"""Installs the scientific tier: packages, the worker that embeds this Python, and a manifest.

    python3 sandboxes/native/install.py [--into DIR]

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
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

import interpreter
from interpreter import Interpreter, Refused

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = os.path.join(HERE, "requirements.txt")
PROBE = os.path.join(HERE, "probe_packages.py")
CRATE = os.path.join(HERE, "worker", "Cargo.toml")
WORKER = "switchtower-native"

#: Changes when what is below makes another folder from the same inputs.
RECIPE = 1

#: Packages' own tests: they stay, for some packages import parts of them, but are not compiled ahead.
TESTS = r"/tests?/"


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
            worker = given(options.worker, python) if options.worker else built(python, options.debug)
            done = install(into, python, worker, REQUIREMENTS)
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


def install(into: str, python: Interpreter, worker: str, requirements: str) -> bool:
    """Makes the folder; False where it is there already, as it would be made."""
    old = manifest(into) or {}
    packages = hashed(requirements)
    with open(requirements, encoding="utf-8") as file:
        versions = dict(re.findall(r"^([a-z0-9-]+)==([^\s\\]+)", file.read(), re.MULTILINE))
    made_for = [RECIPE, python.text, python.home, python.library, packages]
    digest = hashlib.sha256(json.dumps([made_for, hashed(worker)]).encode()).hexdigest()
    there = hashed(os.path.join(into, WORKER)) == hashed(worker) and os.path.isdir(os.path.join(into, "site"))
    if there and old.get("digest") == digest:
        return False

    new = into + ".new"
    shutil.rmtree(new, ignore_errors=True)
    try:
        os.mkdir(new, 0o755)
        site = os.path.join(new, "site")
        if old.get("site") == made_for and os.path.isdir(os.path.join(into, "site")):
            # Only the worker is another: the packages are shared with the old folder until it goes.
            shutil.copytree(os.path.join(into, "site"), site, symlinks=True, copy_function=os.link)
        else:
            say("packages: {} wheels".format(len(versions)))
            fetch(site, requirements)
            compile_ahead(site, os.path.join(into, "site"))
        shutil.copyfile(worker, os.path.join(new, WORKER))
        os.chmod(os.path.join(new, WORKER), 0o755)
        protocol = protocol_of(os.path.join(new, WORKER))
        seen = probed(site, sorted(versions))
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
            # For the next run of this script: what the packages were installed for.
            "site": made_for,
        }
        with open(os.path.join(new, "manifest.json"), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
        swap(new, into)
    finally:
        shutil.rmtree(new, ignore_errors=True)
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


# The packages


def fetch(site: str, requirements: str) -> None:
    """Installs the wheels, each held against its hash."""
    # The user's own settings of pip stay (an index, a proxy), but for those that contradict a target folder.
    settings = dict(clean(os.environ), PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    pip = [sys.executable, "-m", "pip"]
    if subprocess.run(
        pip + ["--version"], env=settings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ).returncode:
        raise Refused("this Python has no pip", "install python3-pip, or run: {} -m ensurepip".format(sys.executable))
    pip += [
        "install",
        "--quiet",
        "--no-input",
        "--no-deps",
        "--no-compile",
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]
    pip += ["--root-user-action", "ignore", "--no-warn-conflicts", "--target", site, "-r", requirements]
    if subprocess.run(pip, env=settings).returncode:
        libc = interpreter.glibc()
        if libc is None or libc < (2, 28):
            raise Refused(
                "pip could not install the packages", "the wheels need glibc 2.28 or newer; see what pip says above"
            )
        raise Refused("pip could not install the packages", "see what it says above; it must reach a package index")
    # Commands and their manual pages; a folder here would be taken for a module.
    for folder in ("bin", "etc", "share"):
        shutil.rmtree(os.path.join(site, folder), ignore_errors=True)


def compile_ahead(site: str, later: str) -> None:
    """Writes the bytecode that programs cannot write, with the place where it will lie in the end."""
    command = [
        sys.executable,
        "-I",
        "-S",
        "-m",
        "compileall",
        "-q",
        "-j",
        "0",
        "-x",
        TESTS,
        "-s",
        site,
        "-p",
        later,
        site,
    ]
    # It ends with 1 where a file is for another Python, which some packages carry.
    subprocess.run(command, stdout=subprocess.DEVNULL)


#: Packages that are imported under another name than that which they are installed by.
IMPORTED = {
    "attrs": "attr",
    "beautifulsoup4": "bs4",
    "fonttools": "fontTools",
    "ipython": "IPython",
    "markdown-it-py": "markdown_it",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "python-dateutil": "dateutil",
    "python-docx": "docx",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}


def probed(site: str, packages: Iterable[str]) -> Dict[str, Any]:
    """Imports every package once: what can be imported, and which folders that needs."""
    names = [IMPORTED.get(name, name.replace("-", "_")) for name in packages]
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
    seen = json.loads(done.stdout)
    if seen["failed"]:
        why = "packages that cannot be imported: {}".format("; ".join(seen["failed"])[:800])
        raise Refused(why, "a library of the system may be missing: the message names it")
    return seen


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
