"""What crosses between the worker's executable and its Python.

The executable passes fields by name, and compares the fields of these tuples with its own when it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Finished(NamedTuple):
    """A program or cell that came to its end."""

    kind: str  # "finished"
    code: int


class Raised(NamedTuple):
    """A program or cell that an exception went through."""

    kind: str  # "raised"
    name: str
    value: str
    traceback: str
    line: int | None


class KernelOptions(NamedTuple):
    """What a kernel begins with."""

    env: Mapping[str, str] | None
    folder: str | None


class Change(NamedTuple):
    """What became of a path: its content, True for a folder, None for what is gone."""

    path: str
    content: bytes | bool | None


class CellResult(NamedTuple):
    """How a cell ended, and what it changed in the files."""

    ending: Any  # Finished or Raised
    changes: list[Change]
