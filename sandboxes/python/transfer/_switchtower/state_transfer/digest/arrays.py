"""Encodes numpy's arrays and generators, and pandas' tables, by their values rather than by their memory layout."""

from __future__ import annotations

import sys
from typing import Any

from .encoder import Encode, Encoder, Marker


def owner_of(value: Any) -> Any:
    """Returns the array whose memory another one is a view of, where a view of the same bytes can be made; else None."""
    base = value.base
    if type(value) is type(base) and type(base).__name__ == "ndarray" and value.size and base.flags.c_contiguous:
        if not base.dtype.hasobject and not value.dtype.hasobject:
            return base
    return None


def offset_in(value: Any, base: Any) -> int:
    """Returns where in its owner a view begins, in bytes."""
    start: int = value.__array_interface__["data"][0]
    return start - int(base.__array_interface__["data"][0])


def encode_array(encoder: Encoder, value: Any) -> None:
    """Encodes type, shape and bytes of an array; a view by its place in another one."""
    kind = type(value).__name__
    if kind == "MaskedArray":
        encoder.push([Marker(b"masked"), value.data, value.mask, value.fill_value])
        return
    if kind == "memmap":
        encoder.lossy.setdefault(encoder.key, "an array in a file")
    encoder.write(f"array {kind} {_text_of_dtype(value.dtype)} {value.shape};".encode())
    base = owner_of(value)
    if base is not None:
        encoder.push([Marker(b"at"), offset_in(value, base), value.strides, base])
        return
    if hasattr(value.base, "dtype") and value.size:
        encoder.note_view(value.base)
    _encode_items(encoder, value)


def _encode_items(encoder: Encoder, value: Any) -> None:
    kind = value.dtype.kind
    if kind in "OT" or value.dtype.names or kind in "fc" and value.dtype.itemsize > (8 if kind == "f" else 16):
        # Objects, text of any length, and what has bytes between its values.
        encoder.push([value.astype(object).ravel().tolist() if kind in "fc" else value.ravel().tolist()])
        return
    encoder.write(b"%d:" % value.nbytes)
    encoder.write_content(value.tobytes())


def _text_of_dtype(value: Any) -> str:
    return repr(value.descr) if value.names else str(value.str) if value.kind != "T" else str(value)


def encode_dtype(encoder: Encoder, value: Any) -> None:
    encoder.write(f"dtype {_text_of_dtype(value)};".encode())


def encode_scalar(encoder: Encoder, value: Any) -> None:
    encoder.write(f"scalar {_text_of_dtype(value.dtype)};".encode())
    _encode_items(encoder, sys.modules["numpy"].asarray(value))


def encode_generator(encoder: Encoder, value: Any) -> None:
    """Encodes a random generator by its state."""
    parts = [Marker(b"generator"), type(value)]
    if hasattr(value, "bit_generator"):
        encoder.push([*parts, value.bit_generator])
        return
    state = value.get_state(legacy=False)
    encoder.push([*parts, state.get("has_gauss"), state.get("gauss"), value._bit_generator])


def encode_bit_generator(encoder: Encoder, value: Any) -> None:
    """Encodes the source of bits under a random generator."""
    state = value.state
    encoder.view.kept.append(state)
    seeds = getattr(value, "seed_seq", None)
    encoder.push([Marker(b"bits"), type(value), state, getattr(seeds, "n_children_spawned", None)])


def encode_frame(encoder: Encoder, value: Any) -> None:
    """Encodes a table: its axes and its columns, however they are put together in blocks."""
    columns = [value.iloc[:, number].array for number in range(value.shape[1])]
    encoder.view.kept.append(columns)
    encoder.push([Marker(b"frame"), type(value), value.columns, value.index, dict(value.attrs), *columns])


def encode_series(encoder: Encoder, value: Any) -> None:
    encoder.push([Marker(b"series"), type(value), value.name, value.index, dict(value.attrs), value.array])


def encode_index(encoder: Encoder, value: Any) -> None:
    parts = [Marker(b"index"), Marker(type(value).__name__.encode()), list(value.names)]
    if hasattr(value, "levels"):
        encoder.push([*parts, *value.levels, *(list(map(int, codes)) for codes in value.codes)])
    elif hasattr(value, "step"):
        encoder.push([*parts, value.start, value.stop, value.step])
    else:
        encoder.push([*parts, getattr(value, "freqstr", None), value.array])


def encode_column(encoder: Encoder, value: Any) -> None:
    """Encodes an array of pandas', by the numbers under it where they are all there is."""
    encoder.write(f"column {value.dtype};".encode())
    if hasattr(value, "categories") and hasattr(value, "codes"):
        encoder.push([value.categories, value.ordered, list(map(int, value.codes))])
    elif hasattr(value, "asi8"):
        _encode_items(encoder, value.asi8)
    elif hasattr(value, "_ndarray") and value.dtype == value._ndarray.dtype:
        _encode_items(encoder, value._ndarray)
    else:
        encoder.push([list(value.astype(object))])


# Classes by their names in the package: the package may not be imported.
_NUMPY: tuple[tuple[str, Encode], ...] = (
    ("ndarray", encode_array),
    ("generic", encode_scalar),
    ("dtype", encode_dtype),
)
_PANDAS: tuple[tuple[str, Encode], ...] = (
    ("DataFrame", encode_frame),
    ("Series", encode_series),
    ("Index", encode_index),
)


def choose(package: str, kind: type) -> Encode | None:
    """Returns the encoding of a class of numpy or pandas; None where it has none of its own."""
    for name, encode in _NUMPY if package == "numpy" else _PANDAS if package == "pandas" else ():
        found = getattr(sys.modules[package], name, None)
        if isinstance(found, type) and issubclass(kind, found):
            return encode
    if package == "pandas" and hasattr(kind, "_from_sequence"):
        return encode_column
    if package == "numpy" and kind.__name__ in ("Generator", "RandomState"):
        return encode_generator
    if package == "numpy" and hasattr(kind, "random_raw"):
        return encode_bit_generator
    return None
