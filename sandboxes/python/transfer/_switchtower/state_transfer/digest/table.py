"""Which encoding a value has: by its type, or by the class and package that it belongs to."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import re
import types
import weakref
from typing import Any

from . import arrays, databases, definitions, objects, registries, streams, suspended, threads, values
from .encoder import Contents, Encode, Encoder, Marker
from .forms import Form
from .view import View

_FORMS = {**streams.FORMS, **threads.FORMS, **suspended.FORMS}
# Of classes that were looked up before.
_found: dict[type, Form | None] = {}
_NAMED_FORMS = {**streams.NAMED, **threads.NAMED, **databases.NAMED, **registries.NAMED, **suspended.NAMED}
_RANGE_ITERATORS = (type(iter(range(1))), type(iter(range(1 << 99))))
_IMMUTABLE = (
    decimal.Decimal,
    fractions.Fraction,
    datetime.date,
    datetime.time,
    datetime.timedelta,
    datetime.tzinfo,
    pathlib.PurePath,
    complex,
)

_BY_TYPE: dict[type, Encode] = {
    type(None): lambda e, v: e.write(b"N;"),
    type(...): lambda e, v: e.write(b"...;"),
    type(NotImplemented): lambda e, v: e.write(b"NI;"),
    bool: lambda e, v: e.write(b"T;" if v else b"f;"),
    int: values.encode_int,
    float: values.encode_float,
    str: values.encode_str,
    bytes: values.encode_bytes,
    complex: values.encode_immutable,
    list: values.encode_list,
    tuple: Encoder.encode_tuple,
    dict: values.encode_dict,
    set: values.encode_set,
    frozenset: values.encode_set,
    bytearray: lambda e, v: e.push([Marker(b"bytearray"), bytes(v)]),
    Marker: lambda e, v: e.write(b"<%s>" % v.bytes),
    Contents: definitions.encode_contents,
    type: definitions.encode_class,
    types.FunctionType: definitions.encode_function,
    types.MethodType: definitions.encode_method,
    types.BuiltinFunctionType: definitions.encode_builtin,
    types.ModuleType: registries.encode_module,
    types.CellType: definitions.encode_closure_cell,
    types.MappingProxyType: lambda e, v: e.push([Marker(b"proxy"), dict(v)]),
    type({}.keys()): lambda e, v: e.push([Marker(b"keys"), v.mapping]),
    type({}.values()): lambda e, v: e.push([Marker(b"values"), v.mapping]),
    type({}.items()): lambda e, v: e.push([Marker(b"items"), v.mapping]),
    range: lambda e, v: e.push([Marker(b"range"), v.start, v.stop, v.step]),
    slice: lambda e, v: e.push([Marker(b"slice"), v.start, v.stop, v.step]),
    collections.deque: lambda e, v: e.push([Marker(b"deque"), v.maxlen, len(v), *v]),
    collections.OrderedDict: lambda e, v: e.push([Marker(b"ordered"), dict(v)]),
    collections.Counter: lambda e, v: e.push([Marker(b"counter"), dict(v)]),
    collections.defaultdict: lambda e, v: e.push([Marker(b"defaultdict"), v.default_factory, dict(v)]),
    re.Match: values.encode_match,
    re.Pattern: values.encode_pattern,
    weakref.ref: lambda e, v: e.push([Marker(b"weak"), v()]),
    memoryview: values.encode_memoryview,
    property: lambda e, v: e.push([Marker(b"property"), v.fget, v.fset, v.fdel]),
    staticmethod: lambda e, v: e.push([Marker(b"static"), v.__func__]),
    classmethod: lambda e, v: e.push([Marker(b"classmethod"), v.__func__]),
    type(functools.lru_cache(len)): definitions.encode_cached_function,
}

_MUTABLE_CONTAINERS = (
    bytearray,
    collections.deque,
    collections.OrderedDict,
    collections.Counter,
    collections.defaultdict,
)
# Of these it matters who shares them.
_SHARED: frozenset[Encode] = frozenset(
    {
        values.encode_list,
        values.encode_dict,
        values.encode_set,
        values.encode_iterator,
        values.encode_range_iterator,
        values.encode_future,
        definitions.encode_closure_cell,
        definitions.encode_cached_function,
        objects.encode_object,
        arrays.encode_array,
        arrays.encode_generator,
        arrays.encode_bit_generator,
        arrays.encode_frame,
        arrays.encode_series,
        *(_BY_TYPE[kind] for kind in _MUTABLE_CONTAINERS),
    }
)


def find_form(kind: type) -> Form | None:
    """Returns the form of a library's class; None where it has none."""
    if kind not in _found:
        known = _FORMS.get(kind) or _NAMED_FORMS.get((kind.__module__, kind.__name__))
        _found[kind] = known or streams.choose(kind) or threads.choose(kind) or suspended.choose(kind)
    return _found[kind]


def encode_form(encoder: Encoder, value: Any) -> None:
    """Encodes a value of a class that has a form."""
    form = find_form(type(value))
    assert form is not None
    form.encode(encoder, value)


class Table:
    """The encodings of one view's values."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.by_type = dict(_BY_TYPE)
        if view.descriptors:
            self.by_type[int] = values.encode_descriptor
        self.shared = _SHARED | {encode_form}

    def choose(self, value: Any) -> Encode:
        """Returns the encoding of a value whose type is not in `by_type`."""
        kind = type(value)
        if isinstance(value, type):
            return definitions.encode_class
        if isinstance(value, enum.Enum):
            return values.encode_enum_member
        if kind.__module__ in self._view.modules:
            return objects.encode_object
        return self._choose_of_library(value) or objects.encode_object

    def _choose_of_library(self, value: Any) -> Encode | None:
        kind = type(value)
        package = kind.__module__.partition(".")[0]
        known = arrays.choose(package, kind)
        if known is not None:
            return known
        if isinstance(value, _IMMUTABLE):
            return values.encode_immutable
        if find_form(kind) is not None:
            return encode_form
        if kind.__module__ == "itertools":
            return values.encode_iterator
        if kind.__module__ == "typing" or kind in (types.GenericAlias, getattr(types, "UnionType", None)):
            return values.encode_annotation
        if package == "sympy" and hasattr(value, "args"):
            return values.encode_sympy
        if kind in _RANGE_ITERATORS:
            return values.encode_range_iterator
        if isinstance(value, BaseException):
            return objects.encode_object
        if kind.__module__ in ("_asyncio", "asyncio.futures", "asyncio.tasks") and hasattr(kind, "cancelled"):
            return values.encode_future
        if kind.__module__ == "random" and kind.__name__ == "SystemRandom":
            return values.encode_stateless
        return None
