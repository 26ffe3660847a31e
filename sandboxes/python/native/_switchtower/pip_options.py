"""pip's command line and its files of requirements."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

MAX_REQUIREMENTS = 200
_MAX_DEPTH = 10
_COMMENT = re.compile(r"(^|\s+)#.*$")

QUIET = frozenset(("-q", "--quiet"))
# Options that change nothing here.
IGNORED = frozenset(
    "-U --upgrade --no-cache-dir --user --break-system-packages --disable-pip-version-check --no-input --pre --no-deps "
    "--prefer-binary --no-warn-script-location --no-warn-conflicts --no-color --no-python-version-warning --system -y --yes "
    "-v --verbose --dry-run --isolated --debug --no-build-isolation --use-pep517 --compile --no-compile --no-index "
    "--require-virtualenv --no-clean --check-build-dependencies --require-hashes".split()
)
# The same, with a value.
IGNORED_WITH_VALUE = frozenset(
    "-i --index-url --extra-index-url --trusted-host --root-user-action --progress-bar --timeout --retries --only-binary "
    "--no-binary --upgrade-strategy --proxy --python --default-timeout -f --find-links --cache-dir --log --cert "
    "--client-cert --exists-action --config-settings --use-feature --use-deprecated --hash --keyring-provider".split()
)
_WITH_VALUE = IGNORED_WITH_VALUE | frozenset(
    "-r --requirement -c --constraint -e --editable -t --target --prefix --root --src --format --path --exclude "
    "--platform --python-version --implementation --abi --report --group".split()
)


class PipError(Exception):
    """What pip prints where it has neither a network nor processes."""


class Word(NamedTuple):
    """An option, with its value if it has one; or, without a name, another word."""

    option: str
    value: str


def split(words: Sequence[str]) -> Iterator[Word]:
    """Returns the options and the other words. Short options may share a sign: `-Uq`, `-rfile`."""
    rest = iter(words)
    for word in rest:
        if word == "--":
            yield from (Word("", other) for other in rest)
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            yield Word(name, value if equals or name not in _WITH_VALUE else _value(name, rest))
        elif word.startswith("-") and len(word) > 1:
            for at, letter in enumerate(word[1:], 2):
                name = "-" + letter
                if name in _WITH_VALUE:
                    yield Word(name, word[at:] or _value(name, rest))
                    break
                yield Word(name, "")
        else:
            yield Word("", word)


def _value(name: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise PipError(f"ERROR: {name} option requires 1 argument\n")
    return value


class Asked(NamedTuple):
    """What is asked to be installed, and which versions are allowed besides."""

    requirements: list[str]
    constraints: list[str]


def asked(words: Sequence[Word], come_in: Callable[[], str], read: Callable[[str], str]) -> Asked:
    """Returns what `pip install` is asked for by its words and by the files that they name."""
    found = Asked([], [])
    _add(found, words, False, "", 0, come_in, read)
    return found


def _add(
    found: Asked,
    words: Sequence[Word],
    constraining: bool,
    folder: str,
    depth: int,
    come_in: Callable[[], str],
    read: Callable[[str], str],
) -> None:
    for option, value in words:
        if option in IGNORED or option in IGNORED_WITH_VALUE or option in QUIET:
            continue
        if option in ("-r", "--requirement", "-c", "--constraint"):
            path = os.path.join(folder, value)
            only_constrains = constraining or option in ("-c", "--constraint")
            if depth == _MAX_DEPTH:
                raise PipError(f"ERROR: {path} recursively references itself\n")
            try:
                text = come_in() if path in ("/dev/stdin", "/dev/fd/0") else read(path)
            except OSError as error:
                raise PipError(f"ERROR: Could not open requirements file: {error}\n") from None
            for line in _lines(text.removeprefix("\ufeff")):
                _add(found, line, only_constrains, os.path.dirname(path), depth + 1, come_in, read)
        elif option:
            raise PipError(f"ERROR: this sandbox has no package index for {option}\n")
        else:
            (found.constraints if constraining else found.requirements).append(value)
        if len(found.requirements) + len(found.constraints) > MAX_REQUIREMENTS:
            raise PipError("ERROR: too many requirements\n")


def _lines(text: str) -> Iterator[list[Word]]:
    """Returns the words of each line of a file of requirements."""
    for line in re.sub(r"\\\r?\n", "", text).splitlines():
        line = _COMMENT.sub("", line).strip()
        if line.startswith("-"):
            try:
                words = shlex.split(line)
            except ValueError as error:
                raise PipError(f"ERROR: {error}\n") from None
            yield list(split(words))
        elif line:
            # The options of one requirement follow it.
            yield [Word("", re.split(r"\s--?[a-z]", line)[0].strip())]
