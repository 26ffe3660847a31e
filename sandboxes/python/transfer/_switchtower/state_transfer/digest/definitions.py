"""Encodes functions and classes: those of libraries by their names, those of the program by what they hold."""

from __future__ import annotations

import enum
import functools
import gc
import inspect
import linecache
import types
from typing import Any

from .encoder import ATOMS, Contents, Encoder, Marker, attributes_without_dunders
from .view import View, is_found

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
    elif view.is_made_of_text(value):
        _encode_function_of_text(encoder, value)
    elif not view.wrote(value):
        encode_name(encoder, value)
        if not is_found(value):  # a closure that a library made
            encoder.push([*(value.__closure__ or ()), attributes_without_dunders(value)])
    elif (name := view.named(value)) is not None:
        encoder.write(b"f%s;" % name.encode())
    else:
        encode_contents(encoder, Contents(value))


def encode_class(encoder: Encoder, value: type) -> None:
    """Encodes a class by its name where it has one."""
    if not _is_programs(encoder.view, value):
        encode_name(encoder, value)
    elif (name := encoder.view.named(value)) is not None:
        encoder.write(b"c%s;" % name.encode())
    else:
        encode_contents(encoder, Contents(value))


def _is_programs(view: View, kind: type) -> bool:
    """Returns whether a class is the program's. One that `types.new_class` made has that module's name."""
    return kind.__module__ in view.modules or kind.__module__ == "types" and not hasattr(types, kind.__name__)


def encode_contents(encoder: Encoder, wrapped: Contents) -> None:
    """Encodes a function or class with all that it holds."""
    value = wrapped.thing
    number = encoder.memo.get(id(value))
    if number is not None:
        encoder.write(b"@%d;" % number)
        return
    if isinstance(value, type):
        if not _is_programs(encoder.view, value):
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
    parts = _parts_of_function(value)
    if not encoder.view.is_own_namespace(value.__globals__):
        encoder.lossy.setdefault(encoder.key, "a function with names of its own")
        parts += _used_names(value)
    encoder.push(parts)


def _used_names(function: Any) -> list[Any]:
    """Returns what a function finds under the names that it uses, where nothing else leads to these."""
    names = function.__globals__
    used = sorted(_names_in(function.__code__) & names.keys() - {"__builtins__"})
    return [part for name in used for part in (Marker(name.encode()), names[name])]


def _parts_of_function(value: Any) -> list[Any]:
    """Returns what can change in a function."""
    about = [
        value.__name__,
        _cleaned(value.__doc__),
        plain_annotations(value),
        value.__defaults__,
        value.__kwdefaults__,
    ]
    attributes = {k: v for k, v in vars(value).items() if k not in SET_BY_PYTHON}
    return [*about, Marker(b"cells"), *_closure_of(value), attributes]


def _cleaned(text: Any) -> Any:
    """Returns documentation without the indentation that older versions keep; what is not a text as it is."""
    return inspect.cleandoc(text) if isinstance(text, str) else text


def plain_annotations(thing: Any) -> dict[str, Any]:
    """Returns a function's annotations that are texts or numbers. Others are types, which versions write in many ways."""
    try:
        found: dict[str, Any] = thing.__annotations__
        return {name: each for name, each in found.items() if type(each) in ATOMS}
    except Exception:  # since Python 3.14 they are evaluated when they are asked for
        return {}


def _encode_function_of_text(encoder: Encoder, value: Any) -> None:
    """Encodes a function that the program made by `exec` or `eval`: its text is gone, but not all that it consists of."""
    number = encoder.memo.get(id(value))
    if number is not None:
        encoder.write(b"@%d;" % number)
        return
    encoder.memo[id(value)] = len(encoder.memo)
    what = "a function that was made of text"
    encoder.lossy.setdefault(encoder.key, what)
    code = value.__code__
    names, constants = _names_in(code), sorted(_constants_in(code, value.__doc__))
    encoder.write_opaque(value, what, f"{value.__qualname__} {sorted(names)} {constants}".encode("utf-8", "replace"))
    parts = _parts_of_function(value)
    if not encoder.view.is_namespace(value.__globals__):
        parts += _used_names(value)
    encoder.push(parts)


def _constants_in(code: types.CodeType, doc: str | None) -> set[str]:
    """Returns the constants of a function that all versions keep as such, but for its documentation."""
    found = set()
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            found |= _constants_in(each, None)
        elif type(each) in (float, complex, bytes) or type(each) is int and not 0 <= each <= 255:
            found.add(repr(each))
        elif type(each) is str and each != doc and "<" not in each:
            found.add(repr(inspect.cleandoc(each)))
    return found


def _encode_class_contents(encoder: Encoder, value: type) -> None:
    encoder.write(f"C{value.__qualname__};".encode())
    parts: list[Any] = [*value.__bases__]
    if type(value) is not enum.EnumMeta:  # which has two names
        parts.append(type(value))
    if isinstance(value, enum.EnumMeta):
        members: Any = value.__members__
        parts += [
            Marker(b"members"),
            {name: (each._value_, _attributes_of_member(each)) for name, each in members.items()},
        ]
    for name, inside in sorted(vars(value).items()):
        own = own_parts(encoder.view, value, name, inside)
        if own is not None:
            parts += [Marker(name.encode()), *own]
    encoder.push(parts)


def _attributes_of_member(member: Any) -> dict[str, Any]:
    return {name: each for name, each in vars(member).items() if not name.startswith("_")}


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
    """Encodes a function under `functools.lru_cache` with what is in the cache, which no pickle has."""
    wrapped = value.__wrapped__
    function = Contents(wrapped) if type(wrapped) is types.FunctionType else wrapped
    remembered = "a function that remembers results under `functools.cache`"
    info = value.cache_info()
    if any((info.hits, info.misses)):
        encoder.lossy.setdefault(encoder.key, remembered)
    entries = _entries_of_cache(value)
    if entries is None:
        encoder.write_opaque(value, remembered)
        entries = []
    encoder.view.kept.append(entries)
    parts = [part for key, result in entries for part in (_parts_of_key(key), result)]
    described = repr((sorted(value.cache_parameters().items()), *info))
    encoder.push([Marker(b"cached"), function, described, *parts])


def _entries_of_cache(value: Any) -> list[tuple[Any, Any]] | None:
    """Returns keys and results in a cache, in the order in which they leave it; None where they cannot be seen. Only the
    garbage collector shows them: the cache's dictionary, and before it each link of a cache that has a limit."""
    inside = gc.get_referents(value)
    attributes = vars(value)
    found = next((each for each in inside if type(each) is dict and each is not attributes), None)
    info = value.cache_info()
    if found is None or len(found) != info.currsize:
        return None if info.currsize else []
    if info.maxsize is None:
        return list(found.items())
    # Since Python 3.10 the type of a link follows its key and result, and the cache's own type comes first.
    first, step = (1, 3) if inside[0] is type(value) else (0, 2)
    entries = [(inside[at], inside[at + 1]) for at in range(first, first + step * len(found), step)]
    return entries if {id(key) for key, _ in entries} == set(map(id, found)) else None


def _keyword_mark() -> Any:
    """Returns the object that stands between positional and keyword arguments in the keys of all caches."""

    @functools.cache
    def nothing(**_: object) -> None:
        return None

    nothing(a=1)
    entries: Any = _entries_of_cache(nothing)
    return entries[0][0][0] if entries else None


def _parts_of_key(key: Any) -> Any:
    # The mark is one object for all functions, which share nothing by it.
    return [Marker(b"keywords") if part is _KEYWORDS else part for part in key] if type(key) is tuple else key


_KEYWORDS = _keyword_mark()


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
    if name == "__doc__" and _is_of_program(kind, inside):
        return [_cleaned(inside)]
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
        if view.wrote(inside) or _is_of_programs_text(view, kind, name, inside):
            return [Contents(inside)]
        # Libraries make methods of text, for classes of data, with defaults that are the program's.
        return [inside.__defaults__] if view.is_made_of_text(inside) and inside.__defaults__ else None
    if isinstance(inside, type):
        return [Contents(inside)]
    if name.startswith("__") and name.endswith("__") or type(inside) in (*_SLOT, _BUILTIN):
        return None
    if type(inside).__module__ in ("collections", "_collections") and type(inside).__name__ == "_tuplegetter":
        return None
    return [inside]


def _is_of_program(kind: type, doc: Any) -> bool:
    """Returns whether a class's documentation is the program's. Libraries write some, and versions write it otherwise."""
    return isinstance(doc, str) and not doc.startswith(f"{kind.__name__}(") and not isinstance(kind, enum.EnumMeta)


def _is_of_programs_text(view: View, kind: type, name: str, function: Any) -> bool:
    """Returns whether the program made a method of text, rather than a decorator or base class of a library."""
    by_library = ("__dataclass_fields__", "__attrs_attrs__", "_fields")
    is_special = name.startswith("__") and any(hasattr(kind, each) for each in by_library)
    return view.is_made_of_text(function) and not is_special


def data_attributes(view: View, kind: type) -> dict[str, Any]:
    """Returns the attributes of a class that are data."""
    found = {}
    for name, inside in list(vars(kind).items()):
        if not isinstance(inside, (types.FunctionType, staticmethod, classmethod, property, type)):
            own = own_parts(view, kind, name, inside)
            if own is not None and len(own) == 1 and (own[0] is inside or name == "__doc__"):
                found[name] = inside
    return found
