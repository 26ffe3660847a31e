"""Encodes values of built-in types and of the standard library."""

from __future__ import annotations

import builtins
import datetime
import decimal
import enum
import fractions
import struct
import sys
from typing import Any

from .encoder import ATOMS, Encoder, Marker, with_article
from .objects import encode_object

_BUILTINS = vars(builtins)


def encode_int(encoder: Encoder, value: int) -> None:
    encoder.write(b"i%x;" % value)


def encode_descriptor(encoder: Encoder, value: int) -> None:
    """Encodes a number that may be that of an open file."""
    if value in encoder.view.descriptors:
        encoder.write_opaque(value, "the number of an open file")
    else:
        encode_int(encoder, value)


def encode_float(encoder: Encoder, value: float) -> None:
    encoder.write(b"n" + (struct.pack(">d", value) if value == value else b"nan"))


def encode_str(encoder: Encoder, value: str) -> None:
    text = value.encode("utf-8", "surrogatepass")
    encoder.write(b"u%d:" % len(text))
    encoder.write(text)


def encode_bytes(encoder: Encoder, value: bytes) -> None:
    encoder.write(b"b%d:" % len(value))
    encoder.write(bytes(value))


def encode_list(encoder: Encoder, value: list[Any]) -> None:
    if set(map(type, value)) <= ATOMS and not encoder.may_hold_descriptors(value):
        encoder.write(b"L")
        encoder.write_pickle(value)
    else:
        encoder.write(b"l%d;" % len(value))
        encoder.stack.extend(reversed(value))


def encode_dict(encoder: Encoder, value: dict[Any, Any]) -> None:
    is_plain = set(map(type, value)) <= ATOMS and set(map(type, dict.values(value))) <= ATOMS and type(value) is dict
    if is_plain and not encoder.may_hold_descriptors(dict.values(value)):
        encoder.write(b"D")
        encoder.write_pickle(value)
    else:
        # `exec` puts Python's own names into a dictionary that is a program's.
        pairs = [pair for pair in dict.items(value) if pair[1] is not _BUILTINS]
        encoder.write(b"d%d;" % len(pairs))
        encoder.push([part for pair in pairs for part in pair])


def encode_set(encoder: Encoder, value: set[Any] | frozenset[Any]) -> None:
    encoder.write((b"s%d;" if isinstance(value, set) else b"z%d;") % len(value))
    if not encoder.view.descriptors or encoder.may_hold_descriptors(value):
        encoder.push(encoder.sort(value))


def encode_enum_member(encoder: Encoder, value: Any) -> None:
    # The name of several flags together depends on the version.
    encoder.push([Marker(b"member"), type(value), value._value_ if isinstance(value, enum.Flag) else value._name_])


def encode_immutable(encoder: Encoder, value: Any) -> None:
    """Encodes a number, date or path, in words that every version has."""
    zone = getattr(value, "tzinfo", None)
    encoder.write(f"v{type(value).__name__}:{_text_of_immutable(value)};".encode())
    if zone is not None:
        encoder.stack.append(zone)


def _text_of_immutable(value: Any) -> object:
    if isinstance(value, decimal.Decimal):
        return value.as_tuple()[0:3]
    if isinstance(value, fractions.Fraction):
        return f"{value.numerator:x}/{value.denominator:x}"
    if isinstance(value, datetime.tzinfo):
        return repr(value)
    if isinstance(value, complex):
        return struct.pack(">dd", value.real, value.imag).hex()
    if isinstance(value, (datetime.datetime, datetime.time)):
        return f"{value.replace(tzinfo=None).isoformat()} {value.fold}"
    return repr(value) if isinstance(value, datetime.timedelta) else str(value)


def encode_iterator(encoder: Encoder, value: Any) -> None:
    what = with_article(f"{type(value).__name__} iterator")
    encoder.write_opaque(value, what)
    if type(value).__module__ == "itertools":  # Python 3.14 no longer pickles them
        encoder.lossy.setdefault(encoder.key, what)


def encode_range_iterator(encoder: Encoder, value: Any) -> None:
    """Encodes what is left of an iterator over a range: versions reduce it in two ways."""
    _, (left,), *state = value.__reduce__()
    left = left[state[0] :] if state and state[0] else left
    encoder.push([Marker(b"left of a range"), left.start, left.stop, left.step])


def encode_annotation(encoder: Encoder, value: Any) -> None:
    # The source made it, and versions write it in many ways.
    encoder.write(b"annotation;")


def encode_sympy(encoder: Encoder, value: Any) -> None:
    try:
        encoder.write(f"y{sys.modules['sympy'].srepr(value)};".encode())
    except Exception:
        encode_object(encoder, value)


def encode_future(encoder: Encoder, value: Any) -> None:
    """Encodes the result of a task that ended. One that still runs is equal to no other."""
    if not value.done():
        encoder.write_opaque(value, "a task that still runs", str(id(value)).encode())
    elif value.cancelled():
        encoder.write_opaque(value, "a task", b"cancelled")
    else:
        failed = value.exception()
        encoder.write_opaque(value, "a task")
        encoder.stack.append(failed if failed is not None else value.result())


def encode_stateless(encoder: Encoder, value: Any) -> None:
    encoder.push([Marker(b"stateless"), type(value)])


def encode_match(encoder: Encoder, value: Any) -> None:
    parts = [value.re.pattern, value.re.flags, value.string, value.pos, value.endpos, value.regs]
    encoder.push([Marker(b"match"), *parts])


def encode_pattern(encoder: Encoder, value: Any) -> None:
    encoder.push([Marker(b"pattern"), value.pattern, value.flags])


def encode_memoryview(encoder: Encoder, value: memoryview) -> None:
    try:
        encoder.push([Marker(b"memoryview"), value.format, value.shape, value.strides, value.obj])
    except ValueError:
        encoder.write(b"released;")
