"""Renews requirements.txt from requirements.in: `python3 pin.py`.

The versions are those that the oldest Python gets, one set for all; the hashes are those of the wheels that pip would
take for each Python, processor and C library below. pip answers from the index that it is set up for, and fetches
nothing but metadata.
"""

import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).resolve().parent

#: Which installations requirements.txt serves.
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PROCESSORS = ("x86_64", "aarch64")
#: An older glibc and a newer one may be given different wheels.
GLIBCS = (28, 41)


class Machine(NamedTuple):
    python: str
    processor: str
    glibc: int


OLDEST = Machine(PYTHONS[0], PROCESSORS[0], GLIBCS[0])


def main() -> None:
    write("requirements.txt", "requirements.in", pins_of("requirements.in"))


def pins_of(root: str) -> list[str]:
    """Name and version of all packages that go with a list."""
    return sorted("{}=={}".format(*pin) for pin in pinned(resolved(OLDEST, str(HERE / root))))


def write(made: str, root: str, pins: Sequence[str]) -> None:
    """Writes a file with the hash of every wheel that the packages may come in."""
    hashes: dict[str, set[str]] = {pin: set() for pin in pins}
    machines = [Machine(*each) for each in itertools.product(PYTHONS, PROCESSORS, GLIBCS)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed, ThreadPoolExecutor(4) as several:
        listed.write("\n".join(pins))
        listed.flush()
        for report in several.map(lambda machine: resolved(machine, listed.name, "--no-deps"), machines):
            for (name, version), digest in pinned(report).items():
                hashes[f"{name}=={version}"].add(digest)
    (HERE / made).write_text(text(root, hashes))


def platforms(processor: str, glibc: int) -> Iterator[str]:
    """The tags of wheels that such a machine can run, the best first."""
    older = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    for minor in range(glibc, 4, -1):
        yield f"manylinux_2_{minor}_{processor}"
        if minor in older:
            yield f"{older[minor]}_{processor}"


def resolved(machine: Machine, requirements: str, *options: str) -> list[Any]:
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
    done = subprocess.run([*command, *options, "-r", requirements], stdout=subprocess.PIPE)
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


def text(root: str, hashes: Mapping[str, Iterable[str]]) -> str:
    served = f"CPython {PYTHONS[0]} to {PYTHONS[-1]}, {' and '.join(PROCESSORS)}, glibc 2.{GLIBCS[0]} or newer"
    lines = [f"# Made by pin.py from {root}, for {served}."]
    for pin, digests in hashes.items():
        lines += [" \\\n    ".join([pin, *(f"--hash=sha256:{digest}" for digest in sorted(digests))])]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
