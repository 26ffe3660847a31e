"""What pip prints where nothing has to be done: its commands, answered from the packages that are here."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from email.message import Message
from importlib import metadata
from typing import Any

from . import host
from .pip_options import IGNORED, QUIET, PipError, Word, asked, split
from .shell_tools import Result

_SITE = "/usr/local/lib/python3/site-packages"
# The pip whose answers these are.
VERSION = "25.3"
# What builds packages is in every sandbox for cells. There is nothing to build here.
_BUILDERS = {"pip": VERSION, "setuptools": "80.9.0", "wheel": "0.45.1"}
# Packages with the modules of another one.
_SAME = {
    "opencv-python": "opencv-python-headless",
    "opencv-contrib-python": "opencv-contrib-python-headless",
}
_HELP = """
Usage:
  pip <command> [options]

Commands:
  install                     Install packages.
  uninstall                   Uninstall packages.
  freeze                      Output installed packages in requirements format.
  list                        List installed packages.
  show                        Show information about installed packages.
  check                       Verify installed packages have compatible dependencies.
  config                      Manage local and global configuration.
  cache                       Inspect and manage pip's wheel cache.
  help                        Show help for commands.

General Options:
  -h, --help                  Show help.
  -V, --version               Show version and exit.
  -q, --quiet                 Give less output.
"""


def run(words: Sequence[str], come_in: Callable[[], str], read: Callable[[str], str]) -> Result:
    """Returns what pip leaves. Where a tier may do more than this, the program moves there."""
    try:
        return _answer(words, come_in, read)
    except PipError as error:
        host.report_need("PROCESS", " ".join(["pip", *words]))
        return Result(1, "", str(error))


def _answer(words: Sequence[str], come_in: Callable[[], str], read: Callable[[str], str]) -> Result:
    """Raises `PipError` if something has to be done, or if it is not known here."""
    given = list(split(words))
    options = {word.option for word in given}
    quiet = bool(options & QUIET)
    command = next((word.value for word in given if not word.option), "")
    rest = given.copy()
    if command:
        rest.remove(Word("", command))
    if options & {"-V", "--version"} and not command:
        return Result(0, f"pip {VERSION} from {_SITE}/pip (python {sys.version_info[0]}.{sys.version_info[1]})\n")
    if command == "help" or options & {"-h", "--help"} or not given:
        return Result(0, _HELP)
    names = [word.value for word in rest if not word.option]
    unknown = {word.option for word in rest if word.option} - IGNORED - QUIET - {"--python", "--exclude-editable"}
    match [command, *names]:
        case ["install", *_]:
            return Result(0, _install(rest, quiet, come_in, read))
        case ["freeze"] if unknown <= {"--all", "-l", "--local"}:
            return Result(0, _freeze("--all" in unknown))
        case ["list"] if unknown <= {"--format", "-l", "--local"}:
            formats = [word.value for word in rest if word.option == "--format"]
            return Result(0, _list(formats[-1] if formats else "columns", bool(options & {"-v", "--verbose"})))
        case ["show", _, *_] if not unknown:
            return _show(names)
        case ["check"] if not unknown:
            return Result(0, "" if quiet else "No broken requirements found.\n")
        case ["cache", "purge"]:
            return Result(0, "Files removed: 0 (0 bytes)\n", "WARNING: No matching packages\n")
        case ["cache", "dir"]:
            return Result(0, os.path.expanduser("~/.cache/pip\n"))
        case ["cache", "list"]:
            return Result(0, "No locally built wheels cached.\n")
        case ["config", "list"] if not unknown:
            return Result(0)
    raise PipError("ERROR: this sandbox has no package index, and its packages cannot be changed\n")


def _install(words: Sequence[Word], quiet: bool, come_in: Callable[[], str], read: Callable[[str], str]) -> str:
    try:
        from packaging.requirements import InvalidRequirement, Requirement  # type: ignore[import-not-found]
    except ImportError as error:
        raise PipError(f"ERROR: {error}\n") from None

    def parsed(texts: list[str]) -> Iterator[Any]:
        for text in texts:
            try:
                yield Requirement(text)
            except InvalidRequirement:
                raise PipError(f"ERROR: Invalid requirement: {text!r}\n") from None

    requirements, constraints = asked(words, come_in, read)
    if not requirements:
        raise PipError('ERROR: You must give at least one requirement to install (see "pip help install")\n')
    limits = [limit for limit in parsed(constraints) if limit.marker is None or limit.marker.evaluate()]
    lines = []
    for wanted in parsed(requirements):
        marker, wanted.marker = wanted.marker, None
        if marker is not None and not marker.evaluate({"extra": ""}):
            lines.append(f"Ignoring {wanted.name}: markers '{marker}' don't match your environment\n")
            continue
        version = _version(wanted.name)
        also = [limit.specifier for limit in limits if _normalized(limit.name) == _normalized(wanted.name)]
        allowed = [wanted.specifier, *also]
        if wanted.url or version is None or not all(each.contains(version, prereleases=True) for each in allowed):
            raise PipError(
                f"ERROR: Could not find a version that satisfies the requirement {wanted} (from versions: {version or 'none'})\n"
                f"ERROR: No matching distribution found for {wanted}\n"
            )
        lines.append(f"Requirement already satisfied: {wanted} in {_SITE} ({version})\n")
    return "" if quiet else "".join(lines)


def _version(name: str) -> str | None:
    name = _normalized(name)
    for known in (name, _SAME.get(name, name)):
        try:
            return metadata.version(known)
        except (metadata.PackageNotFoundError, ValueError):
            pass
    return _BUILDERS.get(name)


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed() -> dict[str, str]:
    found = {_normalized(each.metadata["Name"]): each.version for each in metadata.distributions()}
    return dict(sorted({**_BUILDERS, **found}.items()))


def _freeze(everything: bool) -> str:
    packages = _installed().items()
    return "".join(f"{name}=={version}\n" for name, version in packages if everything or name not in _BUILDERS)


def _list(form: str, verbose: bool) -> str:
    packages = _installed()
    if form == "freeze":
        return _freeze(True)
    if form == "json":
        return json.dumps([{"name": name, "version": version} for name, version in packages.items()]) + "\n"
    if form != "columns":
        raise PipError(f"ERROR: option --format: invalid choice: {form!r} (choose from 'columns', 'freeze', 'json')\n")
    more = (("Location", "Installer"), (_SITE, "pip")) if verbose else ((), ())
    rows = [("Package", "Version", *more[0]), *((*package, *more[1]) for package in packages.items())]
    sizes = [max(map(len, column)) for column in zip(*rows)]
    rows.insert(1, tuple("-" * size for size in sizes))
    return "".join(" ".join(map(str.ljust, row, sizes)).rstrip() + "\n" for row in rows)


def _show(names: Sequence[str]) -> Result:
    missing = [name for name in names if _version(name) is None]
    if missing:
        raise PipError(f"WARNING: Package(s) not found: {', '.join(missing)}\n")
    return Result(0, "---\n".join(map(_shown, names)))


def _shown(name: str) -> str:
    name = _normalized(name)
    known = next((each for each in (name, _SAME.get(name, name)) if _is_here(each)), None)
    about = metadata.metadata(known) if known else Message()
    links = [link.split(",", 1) for link in about.get_all("Project-URL") or [] if "," in link]
    page = next((url.strip() for label, url in links if label.strip().lower() in ("homepage", "home-page")), "")
    fields = {
        "Name": about.get("Name") if known == name else name,
        "Version": _version(name),
        "Summary": about.get("Summary"),
        "Home-page": about.get("Home-page") or page,
        "Author": about.get("Author"),
        "Author-email": about.get("Author-email"),
        "License": about.get("License-Expression") or about.get("License"),
        "Location": _SITE,
        "Requires": ", ".join(sorted(_requires(metadata.distribution(known)) if known else [])),
        "Required-by": ", ".join(sorted(_required_by(name))),
    }
    return "".join(f"{field}: {value or ''}\n" for field, value in fields.items())


def _is_here(name: str) -> bool:
    return any(True for _ in metadata.distributions(name=name))


def _requires(package: metadata.Distribution) -> set[str]:
    """Returns the names of what a package needs here, without its extras."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = set()
    for text in package.requires or []:
        try:
            needed = Requirement(text)
        except InvalidRequirement:
            continue
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            found.add(str(needed.name))
    return found


def _required_by(name: str) -> set[str]:
    return {
        str(each.metadata["Name"])
        for each in metadata.distributions()
        if any(_normalized(needed) == name for needed in _requires(each))
    }
