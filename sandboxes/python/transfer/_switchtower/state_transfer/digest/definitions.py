"""Encodes functions and classes: those of libraries by their names, those of the program by what they hold."""

from __future__ import annotations

import enum
import functools
import linecache
import sys
import types
from typing import Any

from .encoder import Contents, Encoder, Marker, attributes_without_dunders
from .view import View

# Attributes of a class that Python itself sets, and changes from version to version.
SET_BY_PYTHON = frozenset(
    "__dict__ __weakref__ __module__ __doc__ __firstlineno__ __static_attributes__ __annotations__ __annotate__ "
    "__annotate_func__ __annotations_cache__ __abstractmethods__ _abc_impl __classcell__ __match_args__ __qualname__ "
    "__dataclass_params__ __dataclass_fields__ __type_params__ __orig_bases__ __parameters__ __hash__ __slots__ "
    "__replace__ _is_protocol _is_runtime_protocol __protocol_attrs__ __callable_proto_members_only__ "
    "__non_callable_proto_members__ __dataclass_transform__".split()
)
_SLOT = type(type.__dict__["__name__"]), types.MemberDescriptorType
_BUILTIN = type(len)


def encode_name(encoder: Encoder, value: Any) -> None:
    """Encodes a library's function or class."""
    module, name = encoder.view.public(value) or (
        getattr(value, "__module__", None) or "builtins",
        getattr(value, "__qualname__", None) or value.__name__,
    )
    # Only the package: libraries move things between their own modules.
    encoder.write(f"g{str(module).partition('.')[0].lstrip('_')}:{name};".encode())


def encode_function(encoder: Encoder, value: Any) -> None:
    """Encodes a function by its name where it has one."""
    view = encoder.view
    if view.public(value):
        encode_name(encoder, value)
    elif not view.wrote(value):
        found: Any = sys.modules.get(value.__module__)
        for part in value.__qualname__.split("."):
            found = getattr(found, part, None)
        encode_name(encoder, value)
        if found is not value:  # a closure that a library made
            encoder.push([*(value.__closure__ or ()), attributes_without_dunders(value)])
    elif (name := view.named(value)) is not None:
        encoder.write(b"f%s;" % name.encode())
    else:
        encode_contents(encoder, Contents(value))


def encode_class(encoder: Encoder, value: type) -> None:
    """Encodes a class by its name where it has one."""
    if encoder.view.modules.get(value.__module__) is None:
        encode_name(encoder, value)
    elif (name := encoder.view.named(value)) is not None:
        encoder.write(b"c%s;" % name.encode())
    else:
        encode_contents(encoder, Contents(value))


def encode_contents(encoder: Encoder, wrapped: Contents) -> None:
    """Encodes a function or class with all that it holds."""
    value = wrapped.thing
    number = encoder.memo.get(id(value))
    if number is not None:
        encoder.write(b"@%d;" % number)
        return
    if isinstance(value, type):
        if encoder.view.modules.get(value.__module__) is None:
            encode_name(encoder, value)
        else:
            encoder.memo[id(value)] = len(encoder.memo)
            _encode_class_contents(encoder, value)
        return
    if not encoder.view.wrote(value) or encoder.view.public(value):
        encode_function(encoder, value)
        return
    encoder.memo[id(value)] = len(encoder.memo)
    code = value.__code__
    cell = encoder.view.cell(code)
    encoder.write(f"F{value.__qualname__} {cell} {code.co_firstlineno} {code.co_argcount};".encode())
    if value.__name__ == "<lambda>":
        encoder.write(" ".join(sorted(_names_in(code))).encode() + b";")
        if linecache.getline(code.co_filename, code.co_firstlineno).count("lambda") > 1:
            encoder.opaque.setdefault(encoder.key, "a lambda that shares its line with another one")
            encoder.lossy.setdefault(encoder.key, "a lambda that shares its line with another one")
    attributes = {k: v for k, v in vars(value).items() if k not in SET_BY_PYTHON}
    encoder.push([value.__defaults__, value.__kwdefaults__, Marker(b"cells"), *_closure_of(value), attributes])


def _encode_class_contents(encoder: Encoder, value: type) -> None:
    encoder.write(f"C{value.__qualname__};".encode())
    parts: list[Any] = [*value.__bases__]
    if type(value) is not enum.EnumMeta:  # which has two names
        parts.append(type(value))
    if isinstance(value, enum.EnumMeta):
        members: Any = value.__members__
        parts += [Marker(b"members"), {name: member._value_ for name, member in members.items()}]
    for name, inside in sorted(vars(value).items()):
        own = own_parts(encoder.view, value, name, inside)
        if own is not None:
            parts += [Marker(name.encode()), *own]
    encoder.push(parts)


def encode_closure_cell(encoder: Encoder, value: types.CellType) -> None:
    """Encodes a variable of an enclosing function."""
    try:
        encoder.push([Marker(b"cell"), value.cell_contents])
    except ValueError:
        encoder.write(b"empty cell;")


def encode_method(encoder: Encoder, value: types.MethodType) -> None:
    """Encodes a bound method: its object and its function."""
    if encoder.view.public(value):
        encode_name(encoder, value)
    else:
        encoder.push([Marker(b"bound"), value.__self__, value.__func__.__name__, value.__func__])


def encode_builtin(encoder: Encoder, value: Any) -> None:
    """Encodes a function in C, or a method in C with its object."""
    owner = value.__self__
    if owner is None or isinstance(owner, types.ModuleType) or encoder.view.public(value):
        encode_name(encoder, value)
    else:
        encoder.push([Marker(b"bound"), owner, value.__name__])


def encode_cached_function(encoder: Encoder, value: Any) -> None:
    """Encodes a function under `functools.lru_cache`, without what is in the cache."""
    wrapped = value.__wrapped__
    function = Contents(wrapped) if type(wrapped) is types.FunctionType else wrapped
    encoder.push([Marker(b"cached"), function, repr(sorted(value.cache_parameters().items()))])


def _names_in(code: types.CodeType) -> set[str]:
    names = {*code.co_names, *code.co_varnames, *code.co_freevars}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names_in(constant)
    return {name for name in names if not name.startswith(".")}


def _closure_of(function: Any) -> list[Any]:
    """Returns names and cells of a function's closure, sorted by name."""
    pairs = sorted(zip(function.__code__.co_freevars, function.__closure__ or ()), key=lambda pair: pair[0])
    return [part for name, cell in pairs for part in (Marker(name.encode()), cell)]


def own_parts(view: View, kind: type, name: str, inside: Any) -> list[Any] | None:
    """Returns what of a class's attribute the program wrote itself; None where Python or a library did."""
    if name in SET_BY_PYTHON:
        return None
    if isinstance(kind, enum.EnumMeta) and (
        name.startswith("_") or name in kind.__members__ or isinstance(inside, types.DynamicClassAttribute)
    ):
        return None
    if isinstance(inside, (staticmethod, classmethod)):
        inside = inside.__func__
    if isinstance(inside, property):
        functions = (inside.fget, inside.fset, inside.fdel)
        return [Contents(each) if isinstance(each, types.FunctionType) else each for each in functions]
    if isinstance(inside, functools.cached_property):
        return [Contents(inside.func)]
    if isinstance(inside, types.FunctionType):
        while not view.wrote(inside) and isinstance(getattr(inside, "__wrapped__", None), types.FunctionType):
            inside = inside.__wrapped__  # type: ignore[attr-defined]
        return [Contents(inside)] if view.wrote(inside) else None
    if isinstance(inside, type):
        return [Contents(inside)]
    if name.startswith("__") and name.endswith("__") or type(inside) in (*_SLOT, _BUILTIN):
        return None
    if type(inside).__module__ in ("collections", "_collections") and type(inside).__name__ == "_tuplegetter":
        return None
    return [inside]


def data_attributes(view: View, kind: type) -> dict[str, Any]:
    """Returns the attributes of a class that are data."""
    found = {}
    for name, inside in list(vars(kind).items()):
        if not isinstance(inside, (types.FunctionType, staticmethod, classmethod, property, type)):
            own = own_parts(view, kind, name, inside)
            if own is not None and len(own) == 1 and own[0] is inside:
                found[name] = inside
    return found
