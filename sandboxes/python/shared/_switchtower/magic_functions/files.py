"""Folders, environment and files: `%cd`, `%env`, `%%writefile`, `%run`."""

from __future__ import annotations

import builtins
import os
import shlex
import sys
import types
from typing import Any

from ..magic_registry import CELL, UsageError, line, options, refuse


@line("pwd")
def _pwd(kernel: Any, line: str) -> str:
    return os.getcwd()


@line("cd")
def _cd(kernel: Any, line: str) -> None:
    given, folder = options(line, "q", "cd", elsewhere="b") if line.strip() != "-" else ({}, "-")
    visited = kernel.names.get("_dh") or [os.getcwd()]
    folder = folder.strip().strip("\"'")
    if folder == "-":
        if len(visited) < 2:
            raise UsageError("No previous directory to change to.")
        folder = visited[-2]
    os.chdir(os.path.expanduser(folder or "~"))
    visited.append(os.getcwd())
    if "q" not in given:
        print(os.getcwd())


@line("env")
def _env(kernel: Any, line: str) -> Any:
    text = line.strip()
    if not text:
        return dict(os.environ)
    separator = "=" if "=" in text else " "
    name, is_set, value = text.partition(separator)
    if is_set:
        return _set_env(kernel, f"{name.strip()} {value.strip()}")
    if text not in os.environ:
        raise UsageError(f"Environment does not have key: {text}")
    return os.environ[text]


@line("set_env")
def _set_env(kernel: Any, line: str) -> None:
    name, _, value = line.strip().partition("=" if "=" in line.split(" ")[0] else " ")
    if not name or not value:
        raise UsageError("%set_env takes a name and a value")
    os.environ[name] = value
    print(f"env: {name}={value}")


def _write_file(kernel: Any, line: str, cell: str) -> None:
    given, name = options(line, "a", "writefile")
    name = os.path.expanduser(name.strip().strip("\"'"))
    if not name:
        raise UsageError("%%writefile takes the name of a file")
    appends = "a" in given
    print(f"{'Appending to' if appends else 'Overwriting' if os.path.exists(name) else 'Writing'} {name}")
    with open(name, "a" if appends else "w", encoding="utf-8") as file:
        file.write(cell)


CELL["writefile"] = CELL["file"] = _write_file


@line("run")
def _run(kernel: Any, line: str) -> None:
    given, rest = options(line, "in", "run", elsewhere="dtNbpDlrsTemG")
    words = shlex.split(rest)
    if not words:
        raise UsageError("%run takes the name of a file")
    path = os.path.expanduser(words[0])
    if not os.path.exists(path) and os.path.exists(path + ".py"):
        path += ".py"
    if not path.endswith(".py"):
        refuse(f"run {line}".strip(), f"%run takes a file with Python, not {path!r}")
    if not os.path.exists(path):
        raise OSError(f"File `{path!r}` not found.")
    with open(path, "rb") as file:
        code = compile(file.read(), os.path.abspath(path), "exec", dont_inherit=True)
    main = types.ModuleType("__main__")
    names = main.__dict__
    if "i" in given:
        names.update(kernel.names)
    names.update(__name__="__main__" if "n" not in given else os.path.splitext(os.path.basename(path))[0],
                 __file__=path, __builtins__=builtins)  # fmt: skip
    before = sys.argv, sys.modules["__main__"], sys.path[:]
    sys.argv, sys.modules["__main__"] = [path, *words[1:]], main
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    try:
        exec(code, names)
    except SystemExit as leaving:
        if leaving.code not in (None, 0):
            raise
    finally:
        sys.argv, sys.modules["__main__"] = before[:2]
        sys.path[:] = before[2]
        own = ("__name__", "__file__", "__builtins__", "__doc__", "__package__", "__loader__", "__spec__")
        kernel.names.update({name: value for name, value in names.items() if name not in own})
