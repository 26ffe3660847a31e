"""The folder of an installation, which is replaced as a whole, and what a run that was stopped leaves beside it.

Old Pythons must be able to read this file, as install.py.
"""

import contextlib
import json
import os
import shutil
import signal
import tempfile
from typing import Any, Dict, Iterable, Iterator, List, Optional

import packages
from interpreter import Refused

#: What is to be removed is moved into folders with names that begin thus, and is then in nobody's way.
GONE = ".gone-"


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
    if os.path.isdir(into + ".old") and not os.path.exists(into):
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


def leftovers(into: str) -> List[str]:
    """What a run left that was stopped, but for wheels that the next one needs."""
    parent, name = os.path.split(into)
    gone = [os.path.join(parent, one) for one in sorted(os.listdir(parent)) if one.startswith(name + GONE)]
    return [path for path in (into + ".new", into + ".old") if os.path.lexists(path)] + gone


def discard(into: str, paths: Iterable[str], why: str) -> None:
    """Removes what is beside the folder: first out of the way, which takes no time, then from the disk, which does."""
    paths = [path for path in paths if os.path.lexists(path)]
    if not paths:
        return
    packages.say("{}: {}".format(why, ", ".join(paths)))
    parent, name = os.path.split(into)
    aside = [path for path in paths if os.path.basename(path).startswith(name + GONE)]
    if len(aside) < len(paths):
        aside.append(tempfile.mkdtemp(prefix=name + GONE, dir=parent))
    for path in paths:
        if path not in aside:
            os.rename(path, os.path.join(aside[-1], os.path.basename(path)))
    for path in aside:
        shutil.rmtree(path, ignore_errors=True)


def swap(new: str, into: str) -> None:
    """Puts the new folder in the old one's place, and the old one beside it. No signal comes between."""
    signals = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        had = os.path.exists(into)
        if had:
            os.rename(into, into + ".old")
        try:
            os.rename(new, into)
        except OSError:
            if had:
                os.rename(into + ".old", into)
            raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def size(folder: str) -> int:
    """Bytes on the disk."""
    return sum(
        os.lstat(os.path.join(where, file)).st_blocks * 512 for where, _, files in os.walk(folder) for file in files
    )
