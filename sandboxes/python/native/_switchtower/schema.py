"""The data that the worker's executable and its Python exchange.

The executable passes fields by name, and compares the fields of these tuples with its own when it starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Finished(NamedTuple):
    """A program or cell that finished without an exception."""

    kind: str  # "finished"
    code: int


class Raised(NamedTuple):
    """A program or cell that ended with an exception."""

    kind: str  # "raised"
    name: str
    value: str
    traceback: str
    line: int | None


class KernelOptions(NamedTuple):
    """The environment variables and the working folder with which a kernel starts."""

    env: Mapping[str, str] | None
    folder: str | None


class Change(NamedTuple):
    """The state of a path after a change: the content of a file, True for a folder, None for a removed path."""

    path: str
    content: bytes | bool | None


class CellResult(NamedTuple):
    """How a cell ended, and what it changed in the files."""

    ending: Any  # Finished or Raised
    changes: list[Change]
