"""Forms of generators and iterators that are at their end, of counters, and of small things in C."""

from __future__ import annotations

import ast
import importlib
import io
import itertools
import os
import sys
import types
from typing import Any

from .forms import Form, Parts
from .objects import encode_suspended
from .values import encode_iterator

# Modules whose classes compute digests of bytes.
_HASHES = "_hashlib _blake2 _md5 _sha1 _sha2 _sha3 _sha256 _sha512 _hmac hmac".split()


def _parts_of_suspended(value: Any) -> Parts | None:
    prefix = {"generator": "gi", "coroutine": "cr", "async_generator": "ag"}[type(value).__name__]
    ended = getattr(value, prefix + "_frame") is None
    return (type(value).__name__, value.__name__, value.__qualname__) if ended else None


def make_suspended(kind: str, name: str, path: str) -> Any:
    """Returns a generator or coroutine that has ended."""
    made: Any
    if kind == "generator":
        nothing: tuple[Any, ...] = ()
        made = (each for each in nothing)
        next(made, None)
    elif kind == "coroutine":
        made = _nothing()
        made.close()
    else:
        made = _no_items()
        try:
            made.asend(None).send(None)
        except StopAsyncIteration:
            pass
    made.__name__, made.__qualname__ = name, path
    return made


async def _nothing() -> None:
    pass


async def _no_items() -> Any:
    nothing: tuple[Any, ...] = ()
    for each in nothing:
        yield each


def _parts_of_count(value: Any) -> Parts | None:
    """Returns start and step, which a counter shows."""
    start, step = (*ast.literal_eval(f"({repr(value)[6:-1]},)"), 1)[:2]
    return (start, step) if type(start) in (int, float) else None


def _seen_of_hash(value: Any) -> Parts:
    return value.name, value.digest() if value.digest_size else value.digest(32)


def make_entry(path: Any) -> Any:
    """Returns the entry of a folder."""
    folder, name = os.path.split(path)
    with os.scandir(folder or os.curdir) as entries:
        found = next((each for each in entries if each.name == name), None)
    if found is None:
        raise FileNotFoundError(2, "No such file or directory", path)
    return found


def make_bar(kind: Any, given: dict[str, Any], shown: bool) -> Any:
    """Returns a progress bar; nothing is printed."""
    made = kind(file=io.StringIO(), **given)
    if not shown:
        made.close()
        return made
    made.fp = sys.stderr
    made.sp = made.status_printer(sys.stderr)
    return made


def _parts_of_bar(value: Any) -> Parts:
    given = {name: getattr(value, name) for name in ("iterable", "total", "leave", "unit", "unit_scale")}
    given |= {"desc": value.desc.removesuffix(": ") or None, "initial": value.n}
    return type(value), given, not value.disable


def make_layout(form: str) -> Any:
    return importlib.import_module("struct").Struct(form)


FORMS: dict[type, Form] = {
    **dict.fromkeys(
        (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType),
        Form("ended generator", _parts_of_suspended, make_suspended, otherwise=encode_suspended),
    ),
    itertools.count: Form("counter", _parts_of_count, itertools.count, otherwise=encode_iterator),
}

NAMED: dict[tuple[str, str], Form] = {
    ("_struct", "Struct"): Form("layout", lambda value: (value.format,), make_layout),
    ("tqdm.std", "tqdm"): Form("progress bar", _parts_of_bar, make_bar),
    ("tqdm.asyncio", "tqdm_asyncio"): Form("progress bar", _parts_of_bar, make_bar),
}

_HASH = Form("digest", _seen_of_hash)
_ENTRY = Form("entry of a folder", lambda value: (value.path,), make_entry)


def choose(kind: type) -> Form | None:
    """Returns the form of a library's class that is known by its module."""
    if kind.__name__ == "DirEntry" and kind.__module__.partition(".")[0] in ("posix", "os", "nt", "_switchtower"):
        return _ENTRY
    return _HASH if kind.__module__ in _HASHES and hasattr(kind, "hexdigest") else None
