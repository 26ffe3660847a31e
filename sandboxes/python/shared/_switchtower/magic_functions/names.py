"""Lists and removes what cells bound, and their sources: `%who`, `%reset`, `%history`."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any

from .. import pretty
from ..magic_registry import UsageError, line, number_of, refuse

# Names of the kernel that `%who` leaves out.
_OWN = frozenset("In Out exit quit get_ipython open".split())


def _bound(kernel: Any) -> list[str]:
    """The names that cells bound, sorted."""
    given = kernel.given
    return sorted(
        name
        for name, value in kernel.names.items()
        if not name.startswith("_") and not (name in given and given[name] is value) and name not in _OWN
    )


@line("who_ls")
def _who_ls(kernel: Any, line: str) -> list[str]:
    kinds = line.split()
    return [name for name in _bound(kernel) if not kinds or type(kernel.names[name]).__name__ in kinds]


@line("who")
def _who(kernel: Any, line: str) -> None:
    found = _who_ls(kernel, line)
    if not found:
        print("No variables match your requested type." if line.strip() else "Interactive namespace is empty.")
        return
    for start in range(0, len(found), 9):
        print("\t ".join(found[start : start + 9]) + "\t ")


@line("whos")
def _whos(kernel: Any, line: str) -> None:
    found = _who_ls(kernel, line)
    if not found:
        print("No variables match your requested type." if line.strip() else "Interactive namespace is empty.")
        return
    rows = [(name, type(kernel.names[name]).__name__, _brief(kernel.names[name])) for name in found]
    name_width = max(len("Variable"), *(len(name) for name, _, _ in rows))
    kind_width = max(len("Type"), *(len(kind) for _, kind, _ in rows))
    print(f"{'Variable':<{name_width}}   {'Type':<{kind_width}}    Data/Info")
    print("-" * (name_width + kind_width + 16))
    for name, kind, info in rows:
        print(f"{name:<{name_width}}   {kind:<{kind_width}}    {info}")


def _brief(value: Any) -> str:
    """One line about a value."""
    kind = type(value)
    try:
        if kind in (list, tuple, dict, set, frozenset):
            return f"n={len(value)}"
        if kind.__name__ == "ndarray" and hasattr(value, "nbytes"):
            return f"{'x'.join(map(str, value.shape))}: {value.size} elems, type `{value.dtype}`, {value.nbytes} bytes"
        text = str(value)
    except Exception as error:
        return f"<{type(error).__name__}>"
    text = text.replace("\n", "\\n")
    return text if len(text) <= 70 else f"{text[:25]}<...>{text[-25:]}"


@line("reset")
def _reset(kernel: Any, line: str) -> None:
    words = [word.lower() for word in line.split()]
    targets = [word for word in words if not word.startswith("-")]
    known = ("-f", "-s", "-fs", "-sf", "--aggressive", "in", "out", "array", "dhist")
    if unknown := [word for word in words if word not in known]:
        raise UsageError(f"%reset takes -f, -s, in, out, array and dhist, not {unknown[0]}")
    if "--aggressive" in words:
        refuse(f"reset {line}", "%reset --aggressive is not known here")
    # As in IPython where nobody can be asked, -f or not.
    if any(word in ("-s", "-fs", "-sf") for word in words):
        for name in _bound(kernel):
            del kernel.names[name]
    elif not targets:
        _forget_results(kernel)
        for name in _bound(kernel):
            del kernel.names[name]
        kernel.names.update(kernel.given)
    for target in targets:
        _RESETS[target](kernel)


def _forget_results(kernel: Any) -> None:
    for number in list(kernel.kept):
        kernel.names.pop(f"_{number}", None)
    kernel.kept.clear()


def _reset_out(kernel: Any) -> None:
    print(f"Flushing output cache ({len(kernel.kept)} entries)")
    _forget_results(kernel)


def _reset_in(kernel: Any) -> None:
    print("Flushing input history")
    for number in range(1, kernel.number + 1):
        kernel.names.pop(f"_i{number}", None)
    kernel.names.update(dict.fromkeys(("_i", "_ii", "_iii"), ""))
    kernel.sources = ["", "", ""]
    # Cells keep their numbers.
    kernel.history[:] = [""] * (kernel.number + 1)


def _reset_array(kernel: Any) -> None:
    for name in _bound(kernel):
        if type(kernel.names[name]).__name__ == "ndarray":
            del kernel.names[name]


def _reset_dhist(kernel: Any) -> None:
    print("Flushing directory history")
    kernel.names["_dh"] = []


_RESETS = {"in": _reset_in, "out": _reset_out, "array": _reset_array, "dhist": _reset_dhist}


@line("history", "hist")
def _history(kernel: Any, line: str) -> None:
    given, ranges = _history_options(line)
    sources = list(enumerate(kernel.history))[1:]
    if "l" in given:
        count = number_of(given, "l", 10)
        sources = sources[:-1][-count:] if count else []
    elif ranges:
        sources = [each for words in ranges for each in _in_range(sources, words, line)]
    text = "\n".join(_shown(kernel, number, source, given) for number, source in sources)
    if "f" in given:
        with open(os.path.expanduser(given["f"]), "w", encoding="utf-8") as file:
            file.write(text + "\n")
    elif text:
        print(text)


def _history_options(line: str) -> tuple[dict[str, str], list[str]]:
    """Returns the options, which may be anywhere, and the ranges."""
    given: dict[str, str] = {}
    ranges: list[str] = []
    words = shlex.split(line)
    while words:
        word = words.pop(0)
        if not word.startswith("-") or len(word) == 1:
            ranges.append(word)
            continue
        letters = word[1:]
        if letters[0] in "guO" or word.startswith("--"):
            refuse(f"history {line}", f"option {word} is not known here")
        elif letters[0] in "lf":
            value = letters[1:]
            if not value and words and (letters[0] == "f" or words[0].isdigit()):
                value = words.pop(0)
            if letters[0] == "f" and not value:
                raise UsageError("argument -f: expected one argument")
            given[letters[0]] = value or "10"
        elif set(letters) <= set("noptr"):
            given.update(dict.fromkeys(letters, ""))
        else:
            raise UsageError(f"unrecognized arguments: {word}")
    return given, ranges


def _in_range(sources: list[tuple[int, str]], words: str, line: str) -> list[tuple[int, str]]:
    found = re.fullmatch(r"(\d+)(?:([-:])(\d*))?", words)
    if found is None:
        refuse(f"history {line}", f"the range {words} is not of this session")
    start, separator, end = found.groups()
    last = int(start) + 1 if separator is None else int(end) + (separator == "-") if end else len(sources) + 1
    return [each for each in sources if int(start) <= each[0] < last]


def _shown(kernel: Any, number: int, source: str, given: dict[str, str]) -> str:
    text = source.expandtabs(4).rstrip()
    has_lines = "\n" in text
    if "p" in given:
        text = ">>> " + ("\n... ".join(text.splitlines()) + "\n..." if has_lines else text)
    if "n" in given:
        text = f"{number:4}:" + ("\n" if has_lines else " ") + text
    if "o" in given and number in kernel.kept:
        text += "\n" + pretty.pretty(kernel.kept[number])
    return text
