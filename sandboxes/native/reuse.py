"""What a new installation takes over from the one that is there: the packages that stay as they are.

Old Pythons must be able to read this file, as install.py.
"""

import csv
import os
import shutil
import sys
from typing import Any, Dict, Iterable, Mapping, Sequence, Set

import packages
from packages import OUTSIDE, Pin, digest_of

#: The files of a package, as paths in the folder, each with the hash that its list of files has.
Files = Dict[str, str]


def lists(site: str) -> Dict[str, Files]:
    """The files of each package in the folder, by the package's name, as their installation listed them."""
    found: Dict[str, Files] = {}
    for folder in sorted(os.listdir(site)) if os.path.isdir(site) else []:
        path = os.path.join(site, folder, "RECORD")
        if not folder.endswith(".dist-info") or not os.path.isfile(path):
            continue
        files = found.setdefault(packages.normalized(folder.split("-")[0]), {})
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.reader(file):
                if row:
                    files[row[0]] = row[1] if len(row) > 1 else ""
    return {name: inside(files) for name, files in found.items()}


def inside(files: Mapping[str, str]) -> Files:
    """Those that are in the folder of modules: commands and manual pages were removed."""
    kept = {}
    for listed, digest in files.items():
        path = os.path.normpath(listed)
        # What lies beside the modules in the usual layout is moved among them by pip.
        path = path[len("../../") :] if path.startswith("../../") else path
        if not path.startswith((os.sep, "..")) and path.split(os.sep)[0] not in OUTSIDE:
            kept[path] = digest
    return kept


def pins_of(before: Mapping[str, Any], base: Mapping[str, Sequence[Pin]]) -> Dict[str, str]:
    """A digest of each pin that the packages of an installation were installed by, by name."""
    if "pins" in before:
        return dict(before["pins"])
    # Earlier versions of this script recorded one digest of the profile's pins.
    wanted = before.get("wanted") or {}
    pins = list(base.get(wanted.get("profile", ""), []))
    if wanted.get("base") != digest_of(pins):
        return {}
    return digests(pins + [Pin(*each) for each in wanted["added"]])


def digests(pins: Iterable[Pin]) -> Dict[str, str]:
    return {pin.name: digest_of([pin]) for pin in pins}


def staying(site: str, were: Mapping[str, str], pins: Sequence[Pin]) -> Dict[str, Files]:
    """The packages that are there as they are wanted, each with its files."""
    there = lists(site)
    same = {name for name, digest in digests(pins).items() if were.get(name) == digest and name in there}
    same = {name for name in same if all(os.path.lexists(os.path.join(site, path)) for path in there[name])}
    # Of a file that two packages have, each with other content, only one is there: it must be that of the one that stays.
    leaving: Dict[str, Set[str]] = {}
    for name in there.keys() - same:
        for path, digest in there[name].items():
            leaving.setdefault(path, set()).add(digest)
    return {
        name: there[name]
        for name in same
        if not any(leaving.get(path, {digest}) - {digest} for path, digest in there[name].items())
    }


def take_over(old: str, new: str, stay: Iterable[Files]) -> None:
    """Puts these files and their bytecode into the new folder; both folders share them."""
    made = set()  # type: Set[str]
    for files in stay:
        for path in files:
            for one in [path] + ([bytecode(path)] if path.endswith(".py") else []):
                source, target = os.path.join(old, one), os.path.join(new, one)
                if one != path and not os.path.exists(source):
                    continue
                if os.path.dirname(target) not in made:
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    made.add(os.path.dirname(target))
                share(source, target)


def bytecode(path: str) -> str:
    where, name = os.path.split(path)
    return os.path.join(where, "__pycache__", "{}.{}.pyc".format(name[: -len(".py")], sys.implementation.cache_tag))


def share(source: str, target: str) -> None:
    """The same file in both places; a copy where the file system or the file's owner does not let it have two names."""
    if os.path.lexists(target):
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def merge(more: str, site: str) -> None:
    """Moves what was installed apart into the folder. A file that is there already is replaced, not written to: the old
    folder may share it."""
    for folder, _, files in os.walk(more):
        target = os.path.join(site, os.path.relpath(folder, more))
        os.makedirs(target, exist_ok=True)
        for file in files:
            os.replace(os.path.join(folder, file), os.path.join(target, file))
    shutil.rmtree(more)
