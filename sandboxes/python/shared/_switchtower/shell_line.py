"""Lines for a shell that start pip: sequences and pipes of pip's commands and of small tools. Any other line is for a machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from . import pip_command, shell_tools

_MAX_DEPTH = 4
_MAX_LENGTH = 1 << 16
_JOINT = re.compile(r"&&|\|\||[;|\n]")
# Where output may go: nowhere, or both to one place.
_REDIRECTION = re.compile(r"(2>&1|2>\s*/dev/null|[1&]?>\s*/dev/null)(?=[\s;|&]|$)")
# What has a meaning for a shell that is not known here.
_FOREIGN = "$`()&"
# What a shell would replace or redirect by. In pip's words it is meant as it is written: `numpy>=2`, `pandas[excel]`.
_SPECIAL = "*?[]<>~"


class _Foreign(Exception):
    """Raised for what only a shell knows."""


class Command(NamedTuple):
    """One command: pip with its words, a tool, `cd` to a folder, or lines for another shell."""

    pip: Sequence[str] | None = None
    tool: shell_tools.Tool | None = None
    folder: str | None = None
    inner: Any = None
    hides_output: bool = False
    # Where its errors go: as they are, to the output, or nowhere.
    errors: str = ""


class Pipeline(NamedTuple):
    """Commands that read each other's output; whether they run depends on the exit code before: `&&`, `||` or `;`."""

    joint: str
    commands: list[Command]


Line = list[Pipeline]


def of_process(command: Any, shell: bool) -> Line | None:
    """Returns the line of a process as programs start it; `None`: not only pip and the tools beside it."""
    if isinstance(command, (str, bytes, os.PathLike)):
        text = os.fsdecode(command)
        return parse(text) if shell else _single([text])
    if not isinstance(command, Sequence) or not command:
        return None
    words = [os.fsdecode(word) if isinstance(word, (bytes, os.PathLike)) else str(word) for word in command]
    # A shell takes the words after the line as its own arguments.
    return parse(words[0]) if shell else _single(words)


def parse(text: str) -> Line | None:
    """Returns the pipelines of a text; `None`: not only pip and the tools beside it."""
    try:
        line = _parsed(text, 0)
    except _Foreign:
        return None
    return line if _has_pip(line) else None


def reads_input(line: Line) -> bool:
    """Returns whether a line may read what is given to the process."""
    for pipeline in line:
        command = pipeline.commands[0]
        if command.inner is not None and reads_input(command.inner):
            return True
        if command.tool is not None and command.tool.reads_input:
            return True
        if command.pip is not None and any("/dev/stdin" in word or "/dev/fd/0" in word for word in command.pip):
            return True
    return False


def _single(words: Sequence[str]) -> Line | None:
    try:
        line = [Pipeline(";", [_command(words, False, "", False, 0)])]
    except _Foreign:
        return None
    return line if _has_pip(line) else None


def _has_pip(line: Line) -> bool:
    commands = [command for pipeline in line for command in pipeline.commands]
    return any(command.pip is not None or command.inner and _has_pip(command.inner) for command in commands)


def _parsed(text: str, depth: int) -> Line:
    if depth > _MAX_DEPTH or len(text) > _MAX_LENGTH:
        raise _Foreign
    line: Line = []
    words: list[str] = []
    special = hides_output = False
    joint, errors = ";", ""
    for kind, token in [*_tokens(text), ("joint", "\n")]:
        if kind == "redirection":
            target = "".join(token.split())
            if target == "2>&1":
                # To where the output goes at this point.
                errors = "hidden" if hides_output else "output"
            elif target.startswith("2"):
                errors = "hidden"
            else:
                hides_output = True
                errors = "hidden" if target.startswith("&") else errors
        elif kind != "joint":
            words.append(token)
            special |= kind == "special"
        elif words:
            command = _command(words, hides_output, errors, special, depth)
            if joint == "|":
                line[-1].commands.append(command)
            else:
                line.append(Pipeline(joint, [command]))
            words, special, hides_output, errors = [], False, False, ""
            joint = ";" if token == "\n" else token
        elif token != "\n" or hides_output or errors:
            raise _Foreign
    if joint not in (";", "\n") or not line:
        raise _Foreign
    return line


def _command(words: Sequence[str], hides_output: bool, errors: str, special: bool, depth: int) -> Command:
    words = pip_command.without_front(words)
    found = Command(hides_output=hides_output, errors=errors)
    pip = pip_command.after_pip(words)
    if pip is not None:
        return found._replace(pip=pip)
    if special:
        raise _Foreign
    match words:
        case ["cd"]:
            return found._replace(folder="")
        case ["cd", folder] if folder != "-":
            return found._replace(folder=folder)
        case [shell, "-c" | "-lc" | "-ec", text] if os.path.basename(shell) in ("sh", "bash"):
            return found._replace(inner=_parsed(text, depth + 1))
    tool = shell_tools.find(words) if words else None
    if tool is None:
        raise _Foreign
    return found._replace(tool=tool)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Returns the parts of a text with their kinds: `word`, `special` for one that a shell would change, `joint` and
    `redirection`."""
    word: str | None = None
    kind, quote, at = "word", "", 0
    while at < len(text):
        c = text[at]
        if quote:
            at += 1
            if c == quote:
                quote = ""
            elif quote == '"' and c == "\\" and text[at : at + 1] in ('"', "\\", "$", "`", "\n"):
                word = (word or "") + text[at].strip("\n")
                at += 1
            elif quote == '"' and c in "$`":
                raise _Foreign
            else:
                word = (word or "") + c
            continue
        redirection = _REDIRECTION.match(text, at) if word is None or c in ">&" else None
        joint = _JOINT.match(text, at)
        if redirection or joint or c.isspace() or (c == "#" and word is None):
            if word is not None:
                yield kind, word
            word, kind = None, "word"
            if redirection:
                yield "redirection", redirection[1]
                at = redirection.end()
            elif joint:
                yield "joint", joint[0]
                at = joint.end()
            elif c == "#":
                end = text.find("\n", at)
                at = len(text) if end < 0 else end
            else:
                at += 1
            continue
        at += 1
        if c in "'\"":
            quote, word = c, word or ""
        elif c == "\\":
            if at == len(text):
                raise _Foreign
            if text[at] != "\n":
                word = (word or "") + text[at]
            at += 1
        elif c in _FOREIGN or (c in "<>" and (word is None or word.isdigit())):
            raise _Foreign
        else:
            kind = "special" if c in _SPECIAL else kind
            word = (word or "") + c
    if quote:
        raise _Foreign
    if word is not None:
        yield kind, word
