"""Magics that run commands, where those have answers without a shell."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from .. import cell_commands, magic_registry
from ..command_output import SList
from ..magic_registry import CELL, line

__all__: list[str] = []


def _run(text: str, shown: str, script: str | None = None) -> tuple[int, str, str]:
    found = cell_commands.run(text, {})
    if found is None:
        magic_registry.refuse(shown, None, script=script)
    return found


@line("pip")
def _pip(kernel: Any, line: str) -> None:
    _print(f"pip {line}")


@line("uv")
def _uv(kernel: Any, line: str) -> None:
    _print(f"uv {line}")


def _print(text: str) -> None:
    _, out, errors = _run(text, text)
    print(out + errors, end="")


@line("sx", "system")
def _sx(kernel: Any, line: str) -> SList:
    _, out, errors = _run(line, "!" + line)
    return SList((out + errors).splitlines())


def _script(name: str) -> Any:
    def run(kernel: Any, line: str, cell: str) -> None:
        code, out, errors = _run("" if line else cell, name, cell)
        print(out, end="")
        print(errors, end="", file=sys.stderr)
        if code:
            raise subprocess.CalledProcessError(code, cell.encode())

    return run


CELL.update({name: _script(name) for name in ("bash", "sh")})
