"""Exports the state of a session, so that another kernel can rebuild it and check that it did.

The other kernel runs the cells again; what it then has is compared with the digests exported here, and what differs is
overwritten from the pickled values. `state_transfer/restore` is the other side.

This module is to be imported while the snapshot is made or the zygote starts, and `remember_modules` to be called last of
all there.
"""

from __future__ import annotations

import io
import json
import re
import sys
import time
import types
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...paths import HOME
from ..digest import (
    arrays,
    databases,
    definitions,
    encoder,
    forms,
    groups,
    objects,
    registries,
    streams,
    suspended,
    table,
    threads,
    values,
    view,
)
from ..digest.view import View
from . import descriptors, pickled, settings

if TYPE_CHECKING:
    from ..schema import ExportedState, ExportOptions, Group

# Limit in bytes of all pickles, unless the host sets another.
MAX_BYTES = 32 << 20


def _source_of(module: types.ModuleType) -> str:
    text: str | None = module.__loader__.get_source(module.__name__)  # type: ignore[union-attr]
    if text is None:
        raise ImportError(f"{module.__name__} has no source")
    return text


# Read when this is imported: later there may be no file system to read them from. In the order of their imports.
_DIGEST_SOURCES = [
    [module.__name__.rpartition(".")[2], _source_of(module)]
    for module in (
        view,
        encoder,
        definitions,
        objects,
        values,
        forms,
        streams,
        threads,
        databases,
        registries,
        suspended,
        arrays,
        table,
        groups,
    )
]

# Modules in whose place a sandbox puts its own functions.
_REPLACED = "builtins io os time random socket subprocess threading asyncio posix shutil select multiprocessing".split()

_known_modules = frozenset(sys.modules)
_known_descriptors = frozenset[int]()


def remember_modules() -> None:
    """Notes which modules are imported and which descriptors open by now: they are no program's."""
    global _known_descriptors
    set_known_modules(sys.modules)
    _known_descriptors = descriptors.open_descriptors()
    export_state()


def set_known_modules(names: Iterable[str]) -> None:
    """Sets which modules are no program's, where this one is imported after a program."""
    global _known_modules
    _known_modules = frozenset(names)


class CellNumbers(dict[str, Any]):
    """The number of a cell by its file name, where the host gives none: the last number in the name."""

    def get(self, file: str, default: Any = None) -> Any:
        """Returns the number; None for a file that is no cell."""
        found = self.setdefault(file, default)
        if found is None and not file.startswith(("/usr", "/python", "/1/")) and not file.endswith(".so"):
            digits = re.findall(r"\d+", file)
            found = self[file] = int(digits[-1]) if digits and (file[0] == "<" or "cell" in file) else None
        return found


def export_state(options: str = "{}", files: Mapping[str, int | None] | None = None) -> str:
    """Returns the state as JSON (`ExportedState`); `options` are JSON, too (`ExportOptions`). `files`: file name of a cell's
    code, as tracebacks name it, to the cell's number. Without it any number in the name counts."""
    began = time.perf_counter()
    given: ExportOptions = json.loads(options)
    streams = sys.stdout, sys.stderr
    main = sys.modules["__main__"]
    homes = (given.get("home") or HOME, "/tmp/")
    seen = View(main, CellNumbers() if files is None else files, homes, alias=_public_name, known=_known_modules)
    try:
        # What a program's own `__reduce__` prints is no output of a cell.
        sys.stdout = sys.stderr = io.StringIO()
        exported = _groups(seen, seen.roots(), given.get("max_bytes", MAX_BYTES))
    finally:
        sys.stdout, sys.stderr = streams
    state: ExportedState = {
        "groups": exported,
        "settings": settings.export_settings(given.get("env"), given.get("home")),
        "digest_sources": _DIGEST_SOURCES,
        "has_outputs": isinstance(vars(main).get("Out"), dict),
        "python": list(sys.version_info[:2]),
        "ms": round((time.perf_counter() - began) * 1000, 2),
    }
    return json.dumps(state)


def _groups(seen: View, roots: Mapping[str, Any], max_bytes: int) -> list[Group]:
    numbers = descriptors.named_descriptors(seen, roots, _known_descriptors)
    encoders = groups.encode_each(seen, roots)
    exported: list[Group] = []
    left = max_bytes
    for names in groups.group(encoders):
        members = {name: roots[name] for name in names}
        together = encoders[names[0]] if len(names) == 1 else groups.encode_together(seen, members)
        opaque: dict[str, str] = {}
        lossy: dict[str, str] = {}
        for name in names:
            opaque.update(encoders[name].opaque)
            lossy.update(encoders[name].lossy)
        together.note_shared_views()
        lossy.update(together.lossy)
        entry: Group = {"names": names, "digest": together.digest(), "opaque": opaque}
        for name in numbers.intersection(names):
            # What another kernel has is never the same.
            entry["digest"] = opaque[name] = lossy[name] = descriptors.WHAT
        if together.library:
            entry["loose_digest"] = groups.encode_together(seen, members, loose=True).digest()
        if lossy:
            entry["reason"] = f"it holds {next(iter(lossy.values()))}, which cannot be transferred"
        else:
            text, reason = pickled.pickle_group(seen, members, left)
            if text is not None:
                entry["pickled"] = text
                left -= len(text) * 3 // 4
            else:
                entry["reason"] = reason or (
                    "it is too large to be transferred "
                    f"(at most {_size(max_bytes)} in all, of which {_size(left)} are left)"
                )
        exported.append(entry)
    return exported


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < 10_000:
            return f"{count} {unit}"
        count //= 1024
    return f"{count} GB"


def _public_name(thing: Any) -> tuple[str, str] | None:
    """Returns module and name by which programs know a function that a sandbox put in a library's place."""
    name = getattr(thing, "__name__", None)
    for module in _REPLACED:
        if name is not None and getattr(sys.modules.get(module), name, None) is thing:
            return module, name
    return None
