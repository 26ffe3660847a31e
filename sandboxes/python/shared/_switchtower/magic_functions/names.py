"""Lists and removes what cells bound, and their sources: `%who`, `%reset`, `%history`."""

from __future__ import annotations

from typing import Any

from ..magic_registry import UsageError, line, number_of, options

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
    words = line.split()
    if unknown := [word for word in words if word not in ("-f", "-s", "in", "out", "array")]:
        raise UsageError(f"%reset takes -f, -s, in and out, not {unknown[0]}")
    if "-f" not in words:
        # IPython asks, and nobody can answer.
        raise UsageError("%reset asks before it removes names, which is not possible here; use %reset -f")
    if "out" in words or not set(words) & {"in", "out", "array"}:
        for number in list(kernel.kept):
            kernel.names.pop(f"_{number}", None)
        kernel.kept.clear()
    if not set(words) & {"in", "out", "array"} and "-s" not in words:
        for name in _bound(kernel):
            del kernel.names[name]
        kernel.names.update(kernel.given)


@line("history", "hist")
def _history(kernel: Any, line: str) -> None:
    given, rest = options(line, "nopl:f:", "history")
    sources = list(enumerate(kernel.history))[1:-1]
    if "l" in given:
        sources = sources[-number_of(given, "l", 10) :]
    text = "\n".join(f"{number:4}: {source}" if "n" in given else source for number, source in sources)
    if "f" in given:
        with open(given["f"], "w") as file:
            file.write(text + "\n")
    else:
        print(text)
