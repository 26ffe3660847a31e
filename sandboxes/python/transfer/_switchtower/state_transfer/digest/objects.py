"""Encodes objects: those of the program's classes by what they hold, those of libraries by what they reduce to."""

from __future__ import annotations

import collections
import copyreg
import types
from typing import Any

from .encoder import Encoder, Marker, with_article
from .view import View

# Base classes in C that keep contents of an object outside its attributes.
_WITH_CONTENT = (list, dict, set, frozenset, tuple, str, int, float, bytes, bytearray, complex)
_BASES = frozenset({object, *_WITH_CONTENT, collections.deque})
_END = Marker(b"end")
_FRAME_PREFIX = {"generator": "gi", "coroutine": "cr", "async_generator": "ag"}


class ClassLayout:
    """What objects of one class hold, looked up once."""

    def __init__(self, view: View, kind: type) -> None:
        bases = kind.__mro__
        # Whether all that they hold can be seen without calling them.
        self.visible = all(
            base in _BASES
            or base.__module__ in view.modules
            or base.__module__ in ("typing", "abc")
            or issubclass(base, BaseException)
            and base.__module__ == "builtins"
            for base in bases
        )
        # Whether a class of the program's is among them, so that its objects may have attributes that a library knows nothing of.
        self.is_own = any(base.__module__ in view.modules for base in bases)
        self.content = next((base for base in _WITH_CONTENT if base in bases), None)
        self.slots = [
            (name.encode(), slot)
            for base in bases
            if base not in _BASES
            for name, slot in sorted(vars(base).items())
            if type(slot) is types.MemberDescriptorType
        ]
        self.has_dict = kind.__dictoffset__ != 0


def encode_object(encoder: Encoder, value: Any) -> None:
    """Encodes an object of any class that has no encoding of its own."""
    kind, view = type(value), encoder.view
    layout = view.layouts.get(kind)
    if layout is None:
        layout = view.layouts[kind] = ClassLayout(view, kind)
    if id(value) in view.streams:
        encoder.write(b"stream %s;" % view.streams[id(value)].strip("_").encode())
    elif layout.visible:
        _encode_visible(encoder, value, layout)
    else:
        _encode_reduced(encoder, value, layout)


def _encode_visible(encoder: Encoder, value: Any, layout: ClassLayout) -> None:
    """Encodes all that an object of the program's class holds, without using its `__reduce__`."""
    encoder.write(b"o")
    parts: list[Any] = [type(value)]
    if layout.content is not None:
        parts += [Marker(layout.content.__name__.encode()), _content(layout.content, value)]
    elif isinstance(value, BaseException):
        parts += _parts_of_exception(encoder, value)
    elif isinstance(value, collections.deque):
        parts += [value.maxlen, *collections.deque.__iter__(value)]
    for name, slot in layout.slots:
        try:
            parts += [Marker(name), slot.__get__(value)]
        except AttributeError:
            pass
    if layout.has_dict:
        attributes = object.__getattribute__(value, "__dict__")
        if type(attributes) is dict:
            encoder.memo.setdefault(id(attributes), len(encoder.memo))
            for name, inside in attributes.items():
                parts += (name, inside)
    parts.append(_END)
    encoder.push(parts)


def _content(base: Any, value: Any) -> Any:
    """Returns what a base class in C keeps of an object, as a plain value of that class."""
    if base is dict:
        return dict(dict.items(value))
    if base in (str, int, float, complex):
        return base.__getnewargs__(value)[0] if base is not int else int.__index__(value) + 0
    return base(base.__iter__(value)) if base is not bytearray else bytes(value)


def _parts_of_exception(encoder: Encoder, error: BaseException) -> list[Any]:
    if error.__traceback__ or error.__cause__ or error.__context__:
        encoder.lossy.setdefault(encoder.key, "an exception with its traceback")
    return [Marker(b"raised"), list(error.args), error.__cause__, error.__context__, error.__suppress_context__]


def _encode_reduced(encoder: Encoder, value: Any, layout: ClassLayout) -> None:
    """Encodes a library's object by what `__reduce_ex__` returns, and what the program set in one of a class of its own."""
    if encoder.loose and not layout.is_own:
        encoder.push([Marker(b"library"), type(value)])
        return
    encoder.library = True
    try:
        reduce = copyreg.dispatch_table.get(type(value))
        parts = reduce(value) if reduce else value.__reduce_ex__(4)
    except Exception:
        encoder.write_opaque(value, with_article(type(value).__name__))
        return
    if isinstance(parts, str):
        encoder.write(b"r%s;" % parts.encode())
        return
    encoder.view.kept.append(parts)
    call, arguments, state, items, pairs = (*parts, None, None, None)[:5]
    own: list[Any] = []
    if state is None and layout.is_own:
        own = [Marker(b"own"), _attributes(value, layout)]
        encoder.view.kept.append(own)
    if encoder.loose:
        encoder.push([Marker(b"library"), type(value), *own])
        return
    pairs = pairs and [list(pair) for pair in pairs]
    encoder.push([Marker(b"R"), call, arguments, state, items and list(items), pairs, *own])


def _attributes(value: Any, layout: ClassLayout) -> dict[str, Any]:
    """Returns what is in the slots and the dictionary of an object."""
    found = dict(object.__getattribute__(value, "__dict__")) if layout.has_dict else {}
    for name, slot in layout.slots:
        try:
            found[name.decode()] = slot.__get__(value)
        except AttributeError:
            pass
    return found


def encode_suspended(encoder: Encoder, value: Any) -> None:
    """Encodes a generator or coroutine: the line that it is at can be seen, but not all that it holds."""
    prefix = _FRAME_PREFIX[type(value).__name__]
    code, frame = getattr(value, prefix + "_code"), getattr(value, prefix + "_frame")
    line = frame.f_lineno if frame is not None else "ended"
    about = f"{value.__qualname__} {encoder.view.cell(code)} {line}"
    encoder.write_opaque(value, with_article(type(value).__name__.replace("_", " ")), about.encode())
    if frame is not None:
        seen = {k: v for k, v in frame.f_locals.items() if k not in code.co_freevars}
        encoder.push([part for name in sorted(seen) for part in (Marker(name.encode()), seen[name])])
