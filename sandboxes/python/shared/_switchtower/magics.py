"""Lines of a notebook that are no Python: !commands, %magics, %%cells, questions.

Only text that Python cannot parse is examined. Magics that kernels here have become calls of the shell's methods, as
in IPython. What needs a machine with commands, or IPython itself, is reported to the host before anything of the cell
has run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Container

from .magic_functions import CELL, LINE, SURROUNDING
from .magic_registry import SHELL_MAGICS, refuse

# Indentation; the name that is assigned the result; the kind; the rest.
_LINE = re.compile(r"^(\s*)(?:([\w\s,.\[\]'\"]+?)\s*=\s*)?(!{1,2}|%{1,2})(?!=)(.*)$")
_QUESTION = re.compile(r"^\s*(\?{1,2}\s*%{0,2}[\w.*]+|%{0,2}[\w.*\[\]'\"]+\s*\?{1,2})\s*$")
# Line magics that need no % where they are all of a cell.
_WITHOUT_PERCENT = SHELL_MAGICS - {"bash", "sh", "script"} | frozenset(
    "cd pwd env time timeit who who_ls whos run load history hist".split()
)
# Of these, the ones that Python reads as a name.
_VALID_NAMES = frozenset("cd env pwd ls ll lx who who_ls whos hist history".split())


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


def split_cell(code: str, names: Container[str]) -> tuple[str, tuple[str, str] | None]:
    """Returns the Python of a cell that is a magic as a whole, other cells as they are; and the name and the line of a
    magic that surrounds the cell. Reports the need of what is not known here."""
    if code.startswith("%%"):
        head, _, body = code.partition("\n")
        name, _, line = head[2:].partition(" ")
        if name not in CELL and name not in SURROUNDING:
            refuse(head[2:].strip(), f"Cell magic `%%{name}` not found.")
        if name in SURROUNDING and (body.strip() or name == "capture"):
            return "\n" + body, (name, line.strip())
        if name == "time":
            return _call("time", line.strip()), None
        return f"get_ipython().run_cell_magic({name!r}, {line.strip()!r}, {body!r})", None
    word = code.strip()
    if word in _VALID_NAMES and word not in names:
        if word not in LINE:
            refuse(word, f"name '{word}' is not defined")
        return _call(word, ""), None
    return code, None


def _call(name: str, line: str) -> str:
    return f"get_ipython().run_line_magic({name!r}, {line!r})"


def to_python(code: str, error: SyntaxError) -> str:
    """Returns the source with calls in the place of magics. Raises `error` where it has none that Python could not
    parse."""
    lines = code.split("\n")
    if len(lines) == 1 or not any(lines[1:]):
        word, _, rest = code.strip().partition(" ")
        if word in _WITHOUT_PERCENT and rest and not rest.startswith("="):
            if word not in LINE:
                refuse(code.strip(), f"Line magic function `%{word}` not found.")
            return _call(word, rest.strip())
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
        lines[found] = _as_call(lines[found])
    if not met:
        raise error
    return "\n".join(lines)


def _is_magic(line: str) -> re.Match[str] | None:
    return _LINE.match(line) or _QUESTION.match(line)


def _as_call(line: str) -> str:
    match = _LINE.match(line)
    if match is None:
        text = line.strip()
        name = text.strip("?").strip()
        return line[: len(line) - len(line.lstrip())] + _call("pinfo2" if "??" in text else "pinfo", name)
    indentation, target, kind, rest = match.groups()
    name, _, argument = rest.strip().partition(" ")
    if kind.startswith("!"):
        refuse("!" + rest.strip(), None)
    if kind == "%%" or name not in LINE:
        refuse(rest.strip(), f"Line magic function `%{name}` not found.")
    return f"{indentation}{f'{target} = ' if target else ''}{_call(name, argument.strip())}"
