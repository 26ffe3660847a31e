"""Lines of a notebook that are no Python: !commands, %magics, %%cells, questions.

Only text that Python cannot parse is examined. What needs a machine with commands, or IPython itself, is reported to
the host before anything of the cell has run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container
from typing import NoReturn

from . import host

# Indentation; the name that is assigned the result; the kind; the rest.
_LINE = re.compile(r"^(\s*)(?:([\w\s,.\[\]'\"]+?)\s*=\s*)?(!{1,2}|%{1,2})(?!=)(.*)$")
_QUESTION = re.compile(r"^\s*(\?{1,2}\s*%{0,2}[\w.*]+|%{0,2}[\w.*\[\]'\"]+\s*\?{1,2})\s*$")
# Magics that change how IPython shows pictures or loads modules: they have no effect here.
_WITHOUT_EFFECT = re.compile(r"^(matplotlib\b|autoreload\b|(re)?load_ext\s+autoreload\s*$|config\s+InlineBackend\b)")
# Magics that are run by another program.
SHELL_MAGICS = frozenset(
    "pip conda mamba micromamba uv bash sh script sx system cat cp ls ll lx mkdir mv rm rmdir man".split()
)
# Line magics that need no % where they are all of a cell.
_WITHOUT_PERCENT = SHELL_MAGICS - {"bash", "sh", "script"} | frozenset(
    "cd pwd env time timeit who whos run load history".split()
)
# Of these, the ones that Python reads as a name.
_VALID_NAMES = frozenset("pwd ls ll lx who whos history".split())


class UsageError(Exception):
    """Raised for a magic that is unknown or used wrongly."""


UsageError.__module__ = "IPython.core.error"


def normalize(code: str) -> str:
    """Returns a cell without empty lines at its head, without the indentation of its first line, and without prompts.
    It ends with a line break."""
    code += "" if code.endswith("\n") else "\n"
    if code[:1] not in " \t\r\n>" and "\r" not in code:
        return code
    lines = code.replace("\r\n", "\n").split("\n")
    while len(lines) > 1 and not lines[0].strip():
        lines.pop(0)
    indentation = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    if indentation:
        lines = [line.removeprefix(indentation) for line in lines]
    if lines[0].startswith(">>> "):
        lines = [line[4:] if line.startswith((">>> ", "... ")) else "" if line == "..." else line for line in lines]
    return "\n".join(lines)


def report_need(code: str, names: Container[str]) -> None:
    """Reports the need of a cell that is a magic although Python can parse it, or that begins as one."""
    if code.startswith("%%"):
        head = code.partition("\n")[0][2:]
        _refuse(head, f"Cell magic `%%{head.split()[0] if head.split() else ''}` not found.")
    word = code.strip()
    if word in _VALID_NAMES and word not in names:
        _refuse(word, f"name '{word}' is not defined")


def to_python(code: str, error: SyntaxError) -> str:
    """Returns the source without harmless magics. Raises `error` where it has none that Python could not parse."""
    lines = code.split("\n")
    if len(lines) == 1 or not any(lines[1:]):
        word, _, rest = code.strip().partition(" ")
        if word in _WITHOUT_PERCENT and rest and not rest.startswith("="):
            _refuse(code.strip(), f"Line magic function `%{word}` not found.")
    met = False
    for _ in range(len(lines)):
        try:
            ast.parse("\n".join(lines))
            break
        except (SyntaxError, ValueError) as failed:
            at = (getattr(failed, "lineno", None) or 1) - 1
        # The parser may name another line: an open quote in a command is found late.
        found = next((n for n in (at, *range(len(lines))) if n < len(lines) and _is_magic(lines[n])), None)
        if found is None:
            break
        met = True
        lines[found] = _without_effect(lines[found])
    if not met:
        raise error
    return "\n".join(lines)


def _is_magic(line: str) -> re.Match[str] | None:
    return _LINE.match(line) or _QUESTION.match(line)


def _without_effect(line: str) -> str:
    match = _LINE.match(line)
    if match is None:
        _refuse(line.strip(), "no help on objects here", "")
    indentation, target, kind, rest = match.groups()
    rest = rest.strip()
    if kind.startswith("!"):
        _refuse("!" + rest, None)
    if not target and _WITHOUT_EFFECT.match(rest):
        return f"{indentation}pass"
    _refuse(rest, f"Line magic function `%{rest.split()[0] if rest else ''}` not found.")


def _refuse(text: str, message: str | None, sign: str = "%") -> NoReturn:
    """Reports the need. Raises an error where no other tier can take the cell."""
    words = text.split()
    command = text.startswith("!") or bool(words) and words[0] in SHELL_MAGICS
    shown = text.lstrip("!").strip() if command else sign + text
    host.report_need("PROCESS" if command else "LANGUAGE", shown[:200])
    if command:
        raise OSError(f"no commands here: {shown}")
    raise UsageError(message)
