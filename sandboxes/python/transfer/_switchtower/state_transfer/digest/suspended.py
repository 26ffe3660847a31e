"""Forms of generators and iterators that are at their end, of counters, and of small things in C."""

from __future__ import annotations

import ast
import importlib
import io
import itertools
import os
import types
from typing import Any

from .forms import Form, Parts
from .objects import encode_suspended
from .values import encode_iterator

# What a progress bar was given, and the averages in which it counts.
_OF_BAR = (
    "n total leave disable unit unit_scale unit_divisor initial postfix ncols nrows bar_format colour smoothing "
    "mininterval maxinterval delay"
).split()
_AVERAGES = "_ema_dn", "_ema_dt", "_ema_miniters"
_PLAIN = (str, int, float, bool, type(None))
# Modules whose classes compute digests of bytes.
_HASHES = "_hashlib _blake2 _md5 _sha1 _sha2 _sha3 _sha256 _sha512 _hmac hmac".split()


def _parts_of_suspended(value: Any) -> Parts | None:
    prefix = {"generator": "gi", "coroutine": "cr", "async_generator": "ag"}[type(value).__name__]
    if getattr(value, prefix + "_frame") is not None:
        return None
    return type(value).__name__, value.__name__, value.__qualname__, getattr(value, prefix + "_code").co_name


def make_suspended(kind: str, name: str, path: str, defined: str) -> Any:
    """Returns a generator or coroutine that has ended; `defined` is the name in its code."""
    function = {"generator": _nothing, "coroutine": _await_nothing}.get(kind, _no_items)
    code = function.__code__.replace(co_name=defined)
    if hasattr(code, "co_qualname"):
        code = code.replace(co_qualname=path)
    made = types.FunctionType(code, globals())()
    if kind == "generator":
        next(made, None)
    elif kind == "coroutine":
        made.close()
    else:
        try:
            made.asend(None).send(None)
        except StopAsyncIteration:
            pass
    made.__name__, made.__qualname__ = name, path
    return made


def _nothing() -> Any:
    yield from ()


async def _await_nothing() -> None:
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


def make_bar(kind: Any, file: Any, iterable: Any, attributes: dict[str, Any], averages: list[Any]) -> Any:
    """Returns a progress bar; nothing is printed."""
    made = kind(iterable, file=io.StringIO())
    if attributes["disable"]:
        made.close()
    vars(made).update(attributes)
    made.fp = type(made.fp)(file, tqdm_instance=made)
    made.sp = made.status_printer(made.fp)
    for name, average in zip(_AVERAGES, averages):
        vars(made)[name] = average or _no_average
    return made


def _no_average() -> None:
    """Is what a closed bar has for its rate."""


def _parts_of_bar(value: Any) -> Parts | None:
    file = object.__getattribute__(value.fp, "_wrapped")
    if value.gui or value.dynamic_ncols:
        return None
    plain = {name: each for name, each in vars(value).items() if type(each) in _PLAIN}
    averages = [
        None if callable(each) and hasattr(each, "__code__") else each for each in map(vars(value).get, _AVERAGES)
    ]
    return type(value), file, value.iterable, plain, averages


def _seen_of_bar(value: Any) -> Parts:
    # How fast it was is another thing each time.
    file = object.__getattribute__(value.fp, "_wrapped")
    return type(value), file, value.iterable, value.desc.removesuffix(": "), *(getattr(value, name) for name in _OF_BAR)


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
    ("tqdm.std", "tqdm"): Form("progress bar", _parts_of_bar, make_bar, _seen_of_bar),
    ("tqdm.asyncio", "tqdm_asyncio"): Form("progress bar", _parts_of_bar, make_bar, _seen_of_bar),
}

_HASH = Form("digest", _seen_of_hash)
_ENTRY = Form("entry of a folder", lambda value: (value.path,), make_entry)


def choose(kind: type) -> Form | None:
    """Returns the form of a library's class that is known by its module."""
    if kind.__name__ == "DirEntry" and kind.__module__.partition(".")[0] in ("posix", "os", "nt", "_switchtower"):
        return _ENTRY
    return _HASH if kind.__module__ in _HASHES and hasattr(kind, "hexdigest") else None
