"""Renews requirements.txt and requirements-e2b.txt from the lists beside them: `python3 pin.py`.

The versions are those that the oldest Python of a group gets; the hashes are those of the wheels that pip would
take for each Python, processor and C library below. pip answers from the index that it is set up for, and fetches
nothing but metadata.
"""

import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).resolve().parent

#: Which installations requirements.txt serves.
PROCESSORS = ("x86_64", "aarch64")
#: An older glibc and a newer one may be given different wheels.
GLIBCS = (28, 41)


class Machine(NamedTuple):
    python: str
    processor: str
    glibc: int


#: Pythons that share one set of versions. Where a group has no wheel of another's version, requirements.in says so by a marker.
GROUPS = (("3.11", "3.12", "3.13"), ("3.14",))
PYTHONS = tuple(itertools.chain(*GROUPS))
#: The lists that are made, each with those that are installed before it.
LISTS = (("requirements", ()), ("requirements-e2b", ("requirements",)))
MARKER = re.compile(r'python_version (<|>=) "3\.(\d+)"')

#: Versions and hashes by name, of one group.
Pins = Mapping[str, tuple[str, frozenset[str]]]


def main() -> None:
    made: dict[str, list[Pins]] = {}
    for name, before in LISTS:
        made[name] = [
            pins_of(group, [name, *before], [made[one][at] for one in before]) for at, group in enumerate(GROUPS)
        ]
        (HERE / f"{name}.txt").write_text(text(f"{name}.in", made[name]))


def pins_of(group: Sequence[str], lists: Sequence[str], before: Sequence[Pins]) -> Pins:
    """Returns what goes with the lists on these Pythons, but for what was pinned `before`, with the hash of every wheel."""
    fixed = {name: version for pins in before for name, (version, _) in pins.items()}
    roots = [line for name in lists for line in lines(HERE / f"{name}.in", group[0])]
    with tempfile.TemporaryDirectory() as folder:
        listed, constraints = pathlib.Path(folder, "listed.txt"), pathlib.Path(folder, "constraints.txt")
        listed.write_text("\n".join(roots))
        constraints.write_text("\n".join(f"{name}=={version}" for name, version in fixed.items()))
        oldest = Machine(group[0], PROCESSORS[0], GLIBCS[0])
        versions = {name: version for name, version in pinned(resolved(oldest, listed, "-c", str(constraints)))}
        new = {name: version for name, version in sorted(versions.items()) if name not in fixed}
        listed.write_text("\n".join(f"{name}=={version}" for name, version in new.items()))
        hashes: dict[str, set[str]] = {name: set() for name in new}
        machines = [Machine(*each) for each in itertools.product(group, PROCESSORS, GLIBCS)]
        with ThreadPoolExecutor(4) as several:
            for report in several.map(lambda machine: resolved(machine, listed, "--no-deps"), machines):
                for (name, _), digest in pinned(report).items():
                    hashes[name].add(digest)
    return {name: (version, frozenset(hashes[name])) for name, version in new.items()}


def lines(path: pathlib.Path, python: str) -> Iterator[str]:
    """The requirements of a list for a Python, without their markers: pip would judge those by the Python that it runs in."""
    for line in path.read_text().splitlines():
        requirement, _, marker = line.partition(";")
        if requirement and not requirement.startswith("#") and applies(marker, python):
            yield requirement.strip()


def applies(marker: str, python: str) -> bool:
    found = MARKER.fullmatch(marker.strip())
    if not found:
        return not marker or sys.exit(f"pin.py does not know the marker {marker}")
    minor, limit = int(python.partition(".")[2]), int(found[2])
    return minor < limit if found[1] == "<" else minor >= limit


def platforms(processor: str, glibc: int) -> Iterator[str]:
    """The tags of wheels that such a machine can run, the best first."""
    older = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    for minor in range(glibc, 4, -1):
        yield f"manylinux_2_{minor}_{processor}"
        if minor in older:
            yield f"{older[minor]}_{processor}"


def resolved(machine: Machine, requirements: pathlib.Path, *options: str) -> list[Any]:
    """What pip would install there: its own report."""
    python, processor, glibc = machine
    print(f"python {python}, {processor}, glibc 2.{glibc}", file=sys.stderr)
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    command += [
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "--target",
        "nowhere",
        "--python-version",
        python,
    ]
    for platform in platforms(processor, glibc):
        command += ["--platform", platform]
    done = subprocess.run([*command, *options, "-r", str(requirements)], stdout=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"pip finds no wheels for Python {python}, {processor}, glibc 2.{glibc}: see above")
    return json.loads(done.stdout)["install"]


def pinned(report: Iterable[Any]) -> dict[tuple[str, str], str]:
    """Name and version of each package, with the hash of its wheel."""
    pins = {}
    for package in report:
        name = package["metadata"]["name"].lower().replace("_", "-")
        source = package["download_info"]
        if not source["url"].startswith("https:"):
            sys.exit(f"{name} would come from {source['url']}, not from an index; unset PIP_FIND_LINKS")
        pins[name, package["metadata"]["version"]] = source["archive_info"]["hashes"]["sha256"]
    return pins


def text(root: str, groups: Sequence[Pins]) -> str:
    served = f"CPython {PYTHONS[0]} to {PYTHONS[-1]}, {' and '.join(PROCESSORS)}, glibc 2.{GLIBCS[0]} or newer"
    made = [f"# Made by pin.py from {root}, for {served}."]
    for name in sorted({name for pins in groups for name in pins}):
        versions: dict[str, set[str]] = {}
        for pins in groups:
            if name in pins:
                versions.setdefault(pins[name][0], set()).update(pins[name][1])
        everywhere = len(versions) == 1 and all(name in pins for pins in groups)
        for version, digests in versions.items():
            here = [name in pins and pins[name][0] == version for pins in groups]
            marker = "" if everywhere else f'; python_version {"<" if here[0] else ">="} "{GROUPS[1][0]}"'
            made += [
                " \\\n    ".join([f"{name}=={version}{marker}", *(f"--hash=sha256:{one}" for one in sorted(digests))])
            ]
    return "\n".join(made) + "\n"


if __name__ == "__main__":
    main()
