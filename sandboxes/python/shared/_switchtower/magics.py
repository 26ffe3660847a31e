"""Lines of a notebook that are no Python: !commands, %magics, %%cells, questions.

Only text that Python cannot read is looked at. What needs a machine with commands, or IPython itself, is named to the
host before anything of the cell has run.
"""

import ast
import re

from . import host

# Indentation; the name that is given the outcome; the kind; the rest.
_LINE = re.compile(r"^(\s*)(?:([\w\s,.\[\]'\"]+?)\s*=\s*)?(!{1,2}|%{1,2})(?!=)(.*)$")
_QUESTION = re.compile(r"^\s*(\?{1,2}\s*%{0,2}[\w.*]+|%{0,2}[\w.*\[\]'\"]+\s*\?{1,2})\s*$")
# They change how IPython shows pictures or loads modules, and nothing here.
_HARMLESS = re.compile(r"^(matplotlib\b|autoreload\b|(re)?load_ext\s+autoreload\s*$|config\s+InlineBackend\b)")
# Magics that are run by another program.
_COMMANDS = frozenset(
    "pip conda mamba micromamba uv bash sh script sx system cat cp ls ll lx mkdir mv rm rmdir man".split()
)
# Line magics that need no % where they stand alone in a cell.
_BARE = _COMMANDS - {"bash", "sh", "script"} | frozenset("cd pwd env time timeit who whos run load history".split())
# These are no names of Python's either.
_ALONE = frozenset("pwd ls ll lx who whos history".split())


class UsageError(Exception):
    """A magic that is used as it cannot be."""


UsageError.__module__ = "IPython.core.error"


def straight(code):
    """A cell without empty lines at its head, without the indentation of its first line, and without prompts. It ends
    with a line break."""
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


def name_need(code, names):
    """Names the need of a cell that is a magic although Python can read it, or that begins as one."""
    if code.startswith("%%"):
        head = code.partition("\n")[0][2:]
        _refuse(head, f"Cell magic `%%{head.split()[0] if head.split() else ''}` not found.")
    word = code.strip()
    if word in _ALONE and word not in names:
        _refuse(word, f"name '{word}' is not defined")


def as_python(code, error):
    """The source without what is harmless, where Python stumbled over such lines. Else `error` is raised."""
    lines = code.split("\n")
    if len(lines) == 1 or not any(lines[1:]):
        word, _, rest = code.strip().partition(" ")
        if word in _BARE and rest and not rest.startswith("="):
            _refuse(code.strip(), f"Line magic function `%{word}` not found.")
    met = False
    for _ in range(len(lines)):
        try:
            ast.parse("\n".join(lines))
            break
        except (SyntaxError, ValueError) as stumbled:
            at = (getattr(stumbled, "lineno", None) or 1) - 1
        # The parser may name another line: an open quote in a command is found late.
        found = next((n for n in (at, *range(len(lines))) if n < len(lines) and _is_magic(lines[n])), None)
        if found is None:
            break
        met = True
        lines[found] = _harmless(lines[found])
    if not met:
        raise error
    return "\n".join(lines)


def _is_magic(line):
    return _LINE.match(line) or _QUESTION.match(line)


def _harmless(line):
    match = _LINE.match(line)
    if match is None:
        _refuse(line.strip(), "no help on objects here", "")
    indentation, target, kind, rest = match.groups()
    rest = rest.strip()
    if kind.startswith("!"):
        _refuse("!" + rest, None)
    if not target and _HARMLESS.match(rest):
        return f"{indentation}pass"
    _refuse(rest, f"Line magic function `%{rest.split()[0] if rest else ''}` not found.")


def _refuse(text, message, sign="%"):
    """Names the need. Where no other tier can take the cell, it sees an error."""
    words = text.split()
    command = text.startswith("!") or bool(words) and words[0] in _COMMANDS
    shown = text.lstrip("!").strip() if command else sign + text
    host.lack("PROCESS" if command else "LANGUAGE", shown[:200])
    if command:
        raise OSError(f"no commands here: {shown}")
    raise UsageError(message)
