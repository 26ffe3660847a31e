"""Lines of a notebook that are no Python: !commands, %magics, %%cells, questions.

Only text that Python cannot parse is examined. Magics that kernels here have become calls of the shell's methods, as
in IPython. What needs a machine with commands, or IPython itself, is reported to the host before anything of the cell
has run.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Container

from . import cell_commands
from .magic_functions import CELL, LINE, SURROUNDING
from .magic_registry import SHELL_MAGICS, refuse

# Indentation; the name that is assigned the result; the kind; the rest.
_LINE = re.compile(r"^(\s*)(?:([\w\s,.\[\]'\"]+?)\s*=\s*)?(!{1,2}|%{1,2})(?!=)(.*)$")
_QUESTION = re.compile(r"^\s*(\?{1,2}\s*%{0,2}[\w.*]+|%{0,2}[\w.*\[\]'\"]+\s*\?{1,2})\s*$")
# The magics that run the command after them.
_RUNNING = re.compile(r"^(sx|system)\s+")
# A cell of one line that begins with a word.
_AUTOMATIC = re.compile(r"\s*(\w+)(?![\w.])\s*(.*?)\s*")
# Magics that are there once an extension is loaded.
_OF_EXTENSIONS = frozenset({"autoreload"})
# IPython's line magics that kernels here do not have, which need no % there where they are all of a cell.
_OTHERS = SHELL_MAGICS - {"bash", "sh", "script"} | frozenset(
    "alias bookmark debug dhist dirs load loadpy lsmagic macro notebook page pastebin pdb pfile popd prun psearch pushd "
    "pycat pylab quickref recall rehashx rep rerun reset_selective save store tb unalias unload_ext xdel".split()
)


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


def split_cell(code: str, names: Container[str]) -> tuple[str, list[tuple[str, str]]]:
    """Returns the Python of a cell that is a magic as a whole, other cells as they are; and name and line of the magics
    that surround the cell, the outermost first. Reports the need of what is not known here."""
    surrounding: list[tuple[str, str]] = []
    while (cell := code.lstrip("\n")).startswith("%%"):
        head, _, body = cell.partition("\n")
        name, _, line = head[2:].partition(" ")
        if name not in CELL and name not in SURROUNDING:
            refuse(head[2:].strip(), f"Cell magic `%%{name}` not found.")
        above = "\n" * (len(code) - len(cell))
        if name not in SURROUNDING:
            return f"{above}get_ipython().run_cell_magic({name!r}, {line.strip()!r}, {body!r})", surrounding
        if name == "time" and not body.strip():
            return above + _call("time", line.strip()), surrounding
        # An empty line stays, so that the others keep their numbers.
        surrounding.append((name, line.strip()))
        code = f"{above}\n{body}"
    return _automatic(code, names) or code, surrounding


def as_python(code: str, names: Container[str]) -> str:
    """Returns a cell with calls in the place of its own magic and of those that surround it."""
    python, surrounding = split_cell(code, names)
    inside = code
    for name, line in surrounding:
        _, _, body = inside.lstrip("\n").partition("\n")
        above = "\n" * (code.count("\n") - body.count("\n") - 1)
        if name != "time":  # what was timed is of no interest later
            return f"{above}get_ipython().run_cell_magic({name!r}, {line!r}, {body!r})"
        inside = body
    return python


def _automatic(code: str, names: Container[str]) -> str | None:
    """Returns the Python of a cell of one line that is a magic without its sign; None for others."""
    found = _AUTOMATIC.fullmatch(code)
    if found is None:
        return None
    name, rest = found.groups()
    known = name in LINE and name not in _OF_EXTENSIONS
    if not known and name not in _OTHERS or rest.startswith(("=", ",")):
        return None
    if name in names or hasattr(builtins, name) or keyword.iskeyword(name):
        return None
    if not known:
        refuse(f"{name} {rest}".strip(), f"Line magic function `%{name}` not found.")
    return _call(name, rest)


def _call(name: str, line: str) -> str:
    return f"get_ipython().run_line_magic({name!r}, {line!r})"


def to_python(code: str, error: SyntaxError) -> str:
    """Returns the source with calls in the place of magics. Raises `error` where it has none that Python could not
    parse."""
    lines = code.split("\n")
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
        lines[found] = _as_call(_joined(lines, found))
    if not met:
        raise error
    return "\n".join(lines)


def _joined(lines: list[str], first: int) -> str:
    """Returns a line with those that a backslash continues it by, in whose place empty ones stay."""
    text, at = lines[first], first
    while text.endswith("\\") and at + 1 < len(lines):
        at += 1
        text = f"{text[:-1]} {lines[at]}"
        lines[at] = ""
    return text


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
    assigned = f"{indentation}{f'{target} = ' if target else ''}"
    if kind.startswith("!"):
        text = rest.strip()
        if not cell_commands.is_answered(text):
            refuse("!" + text, None)
        return f"{assigned}get_ipython().{'getoutput' if target or kind == '!!' else 'system'}({text!r})"
    command = _RUNNING.sub("", rest.strip())
    if name in SHELL_MAGICS and not cell_commands.is_answered(command):
        refuse(rest.strip(), f"Line magic function `%{name}` not found.", script=command)
    if kind == "%%" or name not in LINE:
        refuse(rest.strip(), f"Line magic function `%{name}` not found.")
    return f"{assigned}{_call(name, argument.strip())}"
