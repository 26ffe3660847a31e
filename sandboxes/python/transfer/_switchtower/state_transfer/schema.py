"""The JSON of a state transfer, which the exporting kernel, the host and the restoring kernel exchange.

`sandboxes/python/schema.json` lists the same fields; tests compare these types and the host's with it.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class ExportOptions(TypedDict, total=False):
    """The options of `export_state`."""

    # The environment variables with which the session started.
    env: dict[str, str]
    # The working directory in which the session started.
    home: str
    # Limit in bytes of all pickles.
    max_bytes: int


class Group(TypedDict):
    """Names whose values share what can change."""

    names: list[str]
    digest: str
    # The digest without the insides of libraries' objects, where there are any.
    loose_digest: NotRequired[str]
    # Name to what cannot be compared there.
    opaque: dict[str, str]
    # The values as a pickle, in base64; without it there is a reason.
    pickled: NotRequired[str]
    reason: NotRequired[str]


class Settings(TypedDict):
    """Settings of the interpreter that programs change, outside their own names."""

    recursion_limit: int
    int_max_str_digits: int
    # The working directory, where it is another than the session's.
    folder: NotRequired[str]
    # Seconds until the timer rings that `signal.alarm` sets, and from then on.
    timer: NotRequired[list[float]]
    # Environment variables that were set, and names of those that were removed.
    environment: NotRequired[dict[str, str]]
    environment_removed: NotRequired[list[str]]
    # States of generators that module functions draw from: pickles in base64.
    random_state: NotRequired[str]
    numpy_random_state: NotRequired[str]
    # prec, rounding, Emin, Emax, capitals, clamp and the names of the traps.
    decimal: NotRequired[list[Any]]
    log_level: NotRequired[int]


class ExportedState(TypedDict):
    """The result of `export_state`. The host does not read its fields."""

    groups: list[Group]
    settings: Settings
    # Name and text of the modules that make the digests, in the order of their imports.
    digest_sources: list[list[str]]
    # Whether `__main__` has an `Out`.
    has_outputs: bool
    python: list[int]
    ms: float


class Change(TypedDict):
    """A file or folder as the client left it before a cell: `content` in base64, or `folder`, or `removed`."""

    path: str
    content: NotRequired[str]
    folder: NotRequired[bool]
    removed: NotRequired[bool]


class Cell(TypedDict):
    """A cell of the session's history."""

    number: int
    code: str
    # Variables for this cell alone.
    env: dict[str, str]
    changes: list[Change]
    # Whether it read neither clock, randomness, environment nor identity when it ran.
    pure: bool
    # Whether it ended with an exception.
    raised: bool
    # Whether it was cut short, or refused what is available here: it is not run again.
    incomplete: bool


class RestoreRequest(TypedDict):
    """The argument of `restore`."""

    cells: list[Cell]
    state: ExportedState
    # Seconds for all cells together.
    time_limit_s: float
    # The working directory in which the session started.
    home: str
    # Whether others use the session's files here already.
    files_in_use: bool


class RestoreVerdict(TypedDict):
    """The result of `restore`: how many cells ran and which names were overwritten, or the reason why it failed."""

    ok: bool
    replayed: NotRequired[int]
    transferred: NotRequired[list[str]]
    cell: NotRequired[int | None]
    name: NotRequired[str | None]
    reason: NotRequired[str]
    ms: float
