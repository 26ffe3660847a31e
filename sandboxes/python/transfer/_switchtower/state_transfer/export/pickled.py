"""Pickles names that share, for what running the cells again does not give."""

from __future__ import annotations

import base64
import importlib
import pickle
import sys
import types
from collections.abc import Mapping
from typing import Any

from ..digest.arrays import offset_in, owner_of
from ..digest.definitions import SET_BY_PYTHON, data_attributes, plain_annotations
from ..digest.registries import contents_of_module, make_module
from ..digest.table import find_form
from ..digest.view import View

_CALLABLES = types.FunctionType, types.BuiltinFunctionType, types.MethodType, type


class TooLarge(Exception):
    """The pickle would take more bytes than are left."""


class _LimitedFile:
    """A file that a pickle is written to; it stops one that grows too large before memory does."""

    def __init__(self, max_bytes: int) -> None:
        self._left = max_bytes
        self.pieces: list[bytes] = []

    def write(self, piece: bytes | memoryview) -> None:
        """Keeps a piece, or raises `TooLarge`."""
        self._left -= len(piece)
        if self._left < 0:
            raise TooLarge
        self.pieces.append(bytes(piece))


class Pickler(pickle.Pickler):
    """Pickles by name what the other side has too: modules, streams, and what a sandbox put in a library's place."""

    def __init__(self, file: _LimitedFile, view: View) -> None:
        super().__init__(file, 4)  # type: ignore[arg-type]
        self._view = view

    def reducer_override(self, thing: Any) -> Any:
        """Returns how a thing is pickled; NotImplemented for the usual way."""
        if isinstance(thing, types.ModuleType):
            if self._view.is_made(thing):
                return make_module, (thing.__name__,), contents_of_module(thing)
            return importlib.import_module, (thing.__name__,)
        if id(thing) in self._view.streams:
            return getattr, (sys, self._view.streams[id(thing)])
        if type(thing).__name__ == "ndarray" and type(thing).__module__ == "numpy":
            base = owner_of(thing)
            if base is not None:  # what is changed in one is changed in the other
                return type(thing), (thing.shape, thing.dtype, base, offset_in(thing, base), thing.strides)
        if isinstance(thing, _CALLABLES):
            public = self._view.public(thing)
            if public:
                return getattr, (sys.modules[public[0]], public[1])
        elif type(thing).__module__ not in self._view.modules and (form := find_form(type(thing))) is not None:
            return form.reduce(thing) or _as_it_says(type(thing))
        return NotImplemented


def _as_it_says(kind: type) -> Any:
    """Returns NotImplemented for a class that says itself how it is pickled. The attributes alone of a value that has a
    form, but cannot be made, would be another one."""
    if all(getattr(kind, name) is getattr(object, name) for name in ("__reduce__", "__reduce_ex__", "__getstate__")):
        raise TypeError(f"cannot pickle {kind.__name__!r} object")
    return NotImplemented


def pickle_group(view: View, roots: Mapping[str, Any], max_bytes: int) -> tuple[str | None, str | None]:
    """Returns the pickle in base64, or the reason why there is none; neither where it would be too large.

    A named function or class is pickled as what can change in it.
    """
    values, classes, functions = {}, {}, {}
    for key, value in roots.items():
        whole = view.named(value) in (key, None) if isinstance(value, (type, types.FunctionType)) else False
        if whole and isinstance(value, type) and value.__module__ in view.modules:
            classes[key] = data_attributes(view, value)
        elif whole and isinstance(value, types.FunctionType) and view.cell(value.__code__) is not None:
            functions[key] = _parts_of_function(value)
        else:
            values[key] = value
    file = _LimitedFile(max_bytes)
    try:
        Pickler(file, view).dump((values, classes, functions))
    except TooLarge:
        return None, None
    except RecursionError:
        return None, "it is nested too deeply to be transferred"
    except Exception as error:
        return None, f"it cannot be pickled ({str(error)[:200]})"
    return base64.b64encode(b"".join(file.pieces)).decode(), None


def _parts_of_function(function: types.FunctionType) -> dict[str, Any]:
    """Returns name, documentation, annotations, defaults, keyword defaults, closure and attributes."""
    cells = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            # What a decorator wrapped has no name to be found by; the other side's own stays, and is compared.
            if not isinstance(cell.cell_contents, (types.FunctionType, type)):
                cells[name] = cell.cell_contents
        except ValueError:
            pass
    attributes = {k: v for k, v in vars(function).items() if k != "__wrapped__" and k not in SET_BY_PYTHON}
    return {
        "name": function.__name__,
        "doc": function.__doc__,
        "annotations": plain_annotations(function),
        "defaults": function.__defaults__,
        "kwdefaults": function.__kwdefaults__,
        "cells": cells,
        "attributes": attributes,
    }
