"""Values that cannot be pickled although what they are can be said in other values: closed files, locks, databases in memory.

A form says of one class which values those are, for the digest, and how they make an equal object in another kernel. What
would come out otherwise has no form.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from .encoder import Encode, Encoder, Marker, with_article
from .objects import encode_object

Parts = tuple[Any, ...]

# Attributes that classes in C set themselves.
_SET_IN_C = frozenset({"name", "mode", "_blksize", "__IOBase_closed"})
# Class to the names of the attributes that its own methods use.
_used: dict[type, frozenset[str]] = {}


class Form:
    """How values of one class are compared, and made again."""

    def __init__(
        self,
        what: str,
        parts: Callable[[Any], Parts | None],
        make: Callable[..., Any] | None = None,
        seen: Callable[[Any], Parts | None] | None = None,
        otherwise: Encode = encode_object,
        public: str = "",
        attributes: Callable[[Any], dict[str, Any]] | None = None,
    ) -> None:
        """`parts` are the arguments of `make`, or None for a value in a state that cannot be made; `seen` are the values
        to compare, where they are others. `otherwise` encodes what has none. Without `make` a value is only compared.
        `public` names attributes that are compared too, and are checked to be those of what `make` gives, which is then
        called here as well. `attributes` returns those that the program set, where this is not known by their names."""
        self.what, self._parts, self.make, self._seen, self._otherwise = what, parts, make, seen or parts, otherwise
        self._public, self._attributes = public.split(), attributes or set_by_program

    def reduce(self, value: Any) -> tuple[Callable[..., Any], Parts] | None:
        """Returns a function that makes an equal value and its arguments; None where there is none."""
        parts = _called(self._parts, value) if self.make is not None else None
        if parts is None or self.make is None:
            return None
        if self._public:
            try:
                made = self.make(*parts)
            except Exception:
                return None
            if not all(_is_same(_attribute(value, name), _attribute(made, name)) for name in self._public):
                return None
        attributes = self._attributes(value)
        return (make_with_attributes, (self.make, parts, attributes)) if attributes else (self.make, parts)

    def encode(self, encoder: Encoder, value: Any) -> None:
        """Adds a value to a digest."""
        seen = _called(self._seen, value)
        if seen is None:
            self._otherwise(encoder, value)
            return
        if self.make is None:
            encoder.lossy.setdefault(encoder.key, with_article(self.what))
        attributes = self._attributes(value)
        more = [*(_attribute(value, name) for name in self._public), *([attributes] if attributes else ())]
        encoder.view.kept.append((seen, more))
        encoder.push([Marker(b"form " + self.what.encode()), *seen, *more])


def make_with_attributes(make: Callable[..., Any], parts: Parts, attributes: dict[str, Any]) -> Any:
    """Returns what a form makes, with the attributes that the program set."""
    made = make(*parts)
    vars(made).update(attributes)
    return made


def set_by_program(value: Any) -> dict[str, Any]:
    """Returns the attributes of a library's object that no method of its class uses: the program set them."""
    kind = type(value)
    if kind not in _used:
        _used[kind] = _SET_IN_C.union(*map(_names_of, kind.__mro__))
    return {name: each for name, each in getattr(value, "__dict__", {}).items() if name not in _used[kind]}


def _names_of(kind: type) -> set[str]:
    names = set(vars(kind))
    for inside in vars(kind).values():
        for function in (inside, *(getattr(inside, name, None) for name in ("__func__", "fget", "fset", "func"))):
            if isinstance(function, types.FunctionType):
                names |= _names_in(function.__code__)
    return names


def _names_in(code: types.CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return {*code.co_names}.union(*map(_names_in, inner))


def _attribute(value: Any, name: str) -> Any:
    """Returns an attribute, or what its absence is; of what it calls for a closed value, the error."""
    for part in name.split("."):
        try:
            value = getattr(value, part)
        except Exception as error:
            return type(error).__name__
    return value


def _is_same(one: Any, other: Any) -> bool:
    return one is other or type(one) is type(other) and bool(one == other)


def _called(function: Callable[[Any], Parts | None], value: Any) -> Parts | None:
    try:
        return function(value)
    except Exception:  # libraries raise what they like for what is closed, or belongs to another thread
        return None


def no_attributes(value: Any) -> dict[str, Any]:
    """Returns none: the attributes of such values are their content, or the kernel's."""
    return {}
