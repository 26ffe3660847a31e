"""The shell's small commands that stand beside pip in a line, with the options that are known here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Result(NamedTuple):
    """What a command left: its exit code, its output and its errors."""

    code: int
    out: str = ""
    errors: str = ""


Read = Callable[[str], str]


class Tool(NamedTuple):
    """A command whose options are known."""

    # Gets what comes in, which it may call for, and what reads a file.
    run: Callable[[Callable[[], str], Read], Result]
    reads_input: bool


# Backslashes give some characters another meaning in grep's basic expressions, and take it from the others in the
# extended ones; Python's are as the extended ones, up to the classes with names.
_BASIC = re.compile(r"\\.|[+?{}|()]", re.DOTALL)


def find(words: Sequence[str]) -> Tool | None:
    """Returns the tool of a command; `None`: it is not known here, or one of its options is not."""
    name, *rest = words
    make = _TOOLS.get(name)
    return make(rest) if make else None


def _constant(code: int, out: str = "") -> Tool:
    return Tool(lambda come_in, read: Result(code, out), False)


def _echo(words: list[str]) -> Tool | None:
    end = "\n"
    if words[:1] == ["-n"]:
        end, words = "", words[1:]
    # Shells disagree on backslashes and on further options.
    if any("\\" in word for word in words) or words[:1] == ["-e"]:
        return None
    return _constant(0, " ".join(words) + end)


def _cat(words: list[str]) -> Tool | None:
    return _filter("cat", words, lambda text: (0, text))


def _head(words: list[str]) -> Tool | None:
    return _part("head", words)


def _tail(words: list[str]) -> Tool | None:
    return _part("tail", words)


def _part(name: str, words: list[str]) -> Tool | None:
    count, paths = "10", []
    rest = iter(words)
    for word in rest:
        if word in ("-n", "--lines"):
            count = next(rest, "")
        elif found := re.fullmatch(r"(?:-n|--lines=|-)(\+?\d+)", word):
            count = found[1]
        else:
            paths.append(word)
    if not re.fullmatch(r"\d{1,9}" if name == "head" else r"\+?\d{1,9}", count) or len(paths) > 1:
        return None
    number = int(count)

    def part(text: str) -> tuple[int, str]:
        lines = text.splitlines(keepends=True)
        if name == "head":
            return 0, "".join(lines[:number])
        first = max(number - 1, 0) if count.startswith("+") else max(len(lines) - number, 0)
        return 0, "".join(lines[first:])

    return _filter(name, paths, part)


def _grep(words: list[str]) -> Tool | None:
    flags, operands = "", []
    pattern: str | None = None
    rest = iter(words)
    for word in rest:
        if word == "-e" and pattern is None:
            pattern = next(rest, None)
        elif re.fullmatch(r"-[ivcEFqwx]+", word):
            flags += word[1:]
        else:
            operands.append(word)
    if pattern is None and operands and not operands[0].startswith("-"):
        pattern = operands.pop(0)
    if pattern is None or len(operands) > 1:
        return None
    expression = _expression(pattern, flags)
    if expression is None:
        return None
    wanted = "v" not in flags

    def grep(text: str) -> tuple[int, str]:
        lines = [line for line in text.splitlines() if bool(expression.search(line)) == wanted]
        shown = [str(len(lines))] if "c" in flags else [] if "q" in flags else lines
        return 0 if lines else 1, "".join(f"{line}\n" for line in shown)

    return _filter("grep", operands, grep)


def _expression(pattern: str, flags: str) -> re.Pattern[str] | None:
    if "F" in flags:
        text = re.escape(pattern)
    elif "[:" in pattern or re.search(r"\\[<>0-9a-zA-Z]", pattern) or "(?" in pattern:
        return None
    elif "E" in flags:
        text = pattern
    else:
        text = _BASIC.sub(lambda found: _basic(found[0]), pattern)
    if "w" in flags:
        text = rf"(?<!\w)(?:{text})(?!\w)"
    if "x" in flags:
        text = f"^(?:{text})$"
    try:
        return re.compile(text, re.IGNORECASE if "i" in flags else 0)
    except re.error:
        return None


def _basic(part: str) -> str:
    if len(part) == 1:
        return "\\" + part
    return part[1] if part[1] in "+?{}|()" else part


def _filter(name: str, paths: Sequence[str], work: Callable[[str], tuple[int, str]]) -> Tool | None:
    """Returns a tool that reads files, or what comes in where none is named."""
    if any(path.startswith("-") and path != "-" for path in paths):
        return None

    def run(come_in: Callable[[], str], read: Read) -> Result:
        texts, errors = [], ""
        for path in paths or ("-",):
            try:
                texts.append(come_in() if path == "-" else read(path))
            except OSError as error:
                errors += f"{name}: {path}: {error.strerror}\n"
        if not texts:
            return Result(2 if name == "grep" else 1, "", errors)
        code, out = work("".join(texts))
        return Result(1 if errors else code, out, errors)

    return Tool(run, not paths or "-" in paths)


_TOOLS: dict[str, Callable[[list[str]], Tool | None]] = {
    "echo": _echo,
    "true": lambda words: _constant(0),
    ":": lambda words: _constant(0),
    "false": lambda words: _constant(1),
    "cat": _cat,
    "head": _head,
    "tail": _tail,
    "grep": _grep,
}
