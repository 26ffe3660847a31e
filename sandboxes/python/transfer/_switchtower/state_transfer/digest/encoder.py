"""Encodes values into one digest.

A digest is equal for equal state, independent of the Python version, the word size and the hash seed. Both sides of a state
transfer run this very text: the exporting kernel imports this package and sends its sources along. So its modules import
only each other and what every kernel has.
"""

from __future__ import annotations

import gc
import hashlib
import pickle
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from .view import View

# Types whose values hold no others.
ATOMS = frozenset({int, bool, float, str, bytes, type(None)})
_PLAIN = ATOMS | {list, dict, tuple}
_DEEPEST = 40  # the C pickler recurses, and looks for cycles from 50 on
_WIDEST = 20_000_000  # values in one tree of plain data
# A program holds no more numbers of open files together with other plain values.
_FEW = 8
# How often tuples that were met before are encoded in full, in one digest.
_REPEATED_TUPLES = 200_000


class Marker:
    """Bytes between two values on the encoder's stack."""

    __slots__ = ("bytes",)

    def __init__(self, text: bytes) -> None:
        self.bytes = text


class Contents:
    """A function or class that is to be encoded with its contents although it has a name."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing


# Writes one value to the encoder; parts of the value are pushed onto its stack.
Encode = Callable[["Encoder", Any], object]


class Encodings(Protocol):
    """How values are encoded."""

    # By exact type; filled as types are met.
    by_type: dict[type, Encode]
    # Encodings of values that can change, so that it matters who shares them.
    shared: frozenset[Encode]

    def choose(self, value: Any) -> Encode:
        """Returns the encoding of a value whose type is not in `by_type`."""


class Encoder:
    """Encodes values that may share parts, one after another, into one digest.

    A loose encoder leaves the insides of libraries' objects out: their pickles differ between versions.
    """

    def __init__(self, view: View, encodings: Encodings, loose: bool = False) -> None:
        self.view, self.encodings, self.loose = view, encodings, loose
        # Id to number: every value that can change, so that it matters who shares it.
        self.memo: dict[int, int] = {}
        # Key to what cannot be compared there.
        self.opaque: dict[str, str] = {}
        # Key to what a pickle would leave out there.
        self.lossy: dict[str, str] = {}
        # Ids of arrays that others are views of in a way that a pickle does not keep, with the number of those views.
        self.viewed: dict[int, int] = {}
        # Whether a library's object was encoded by its pickle.
        self.library = False
        self.key = ""
        self.stack: list[Any] = []
        self._hash = hashlib.blake2b(digest_size=16)
        self._text: list[bytes] = []
        self._tuples: set[int] = set()
        self._repeated = 0
        self._pickler: Any = None

    def digest(self) -> str:
        """Returns the digest of all that was encoded, in hexadecimal."""
        self._flush()
        return self._hash.hexdigest()

    def encode_alone(self, key: str, value: Any) -> Encoder:
        """Encodes a root that shares with no other one. Returns this encoder."""
        containers = _containers_of_plain(value) if not self.view.descriptors else None
        if containers is None:
            self.encode_root(key, value)
        else:
            self.memo = containers
            self.write(b"P" + key.encode() + b"\n")
            self.write_pickle(value)
        return self

    def encode_root(self, key: str, value: Any) -> None:
        """Encodes the value of one root."""
        self.key = key
        self.write(b"=" + key.encode("utf-8", "surrogatepass") + b"\n")
        if isinstance(value, (types.FunctionType, type)) and self.view.named(value) in (key, None):
            value = Contents(value)
        try:
            self._encode(value)
        except Exception:  # classes can raise from any method
            self.stack.clear()
            self.write_opaque(value, "an object that cannot be looked at")
            self.lossy.setdefault(key, "an object that cannot be looked at")

    def _encode(self, value: Any) -> None:
        stack, memo = self.stack, self.memo
        by_type, shared = self.encodings.by_type, self.encodings.shared
        stack.append(value)
        while stack:
            value = stack.pop()
            encode = by_type.get(type(value))
            if encode is None:
                encode = by_type[type(value)] = self.encodings.choose(value)
            if encode in shared:
                number = memo.get(id(value))
                if number is not None:
                    self.write(b"@%d;" % number)
                    continue
                memo[id(value)] = len(memo)
                self.view.kept.append(value)
            encode(self, value)

    def write(self, text: bytes) -> None:
        """Adds bytes to the digest."""
        self._text.append(text)
        if len(self._text) > 2000:
            self._flush()

    def write_content(self, content: bytes) -> None:
        """Adds bytes that may be many to the digest, at once."""
        self._flush()
        self._hash.update(content)

    def _flush(self) -> None:
        self._hash.update(b"".join(self._text))
        self._text.clear()

    def write_pickle(self, value: Any) -> None:
        """Adds a value without sharing and without sets, by the C pickler, which is many times faster."""
        self._flush()
        if self._pickler is None:
            self._pickler = pickle.Pickler(_Sink(self._hash), 4)
            self._pickler.fast = True
        self._pickler.dump(value)

    def push(self, values: Sequence[Any]) -> None:
        """Puts values on the stack, so that the first is encoded next."""
        self.stack.extend(reversed(values))

    def write_opaque(self, value: Any, what: str, about: bytes = b"") -> None:
        """Adds a value whose state cannot be seen: `what` it is, and `about` it what can be."""
        self.write(b"?%s %s;" % (type(value).__name__.encode(), about))
        self.opaque.setdefault(self.key, what)

    def note_view(self, base: Any) -> None:
        """Notes that the value is a view of an array. A pickle has a copy of it, which matters where both can be reached."""
        self.view.kept.append(base)
        self.viewed[id(base)] = self.viewed.get(id(base), 0) + 1

    def note_shared_views(self) -> None:
        """Notes as lossy a view whose array can be reached in another way too."""
        if any(count > 1 or place in self.memo for place, count in self.viewed.items()):
            self.lossy.setdefault(self.key, "a view of another array")

    def encode_tuple(self, value: tuple[Any, ...]) -> None:
        """Whether equal tuples are one object is the compiler's choice, so each is encoded in full; but not without end."""
        if id(value) in self._tuples:
            self._repeated += 1
            if self._repeated > _REPEATED_TUPLES:
                self.memo.setdefault(id(value), len(self.memo))
                self.write(b"@%d;" % self.memo[id(value)])
                return
        else:
            self._tuples.add(id(value))
            self.view.kept.append(value)
        self.write(b"t%d;" % len(value))
        if not self.view.descriptors or self.may_hold_descriptors(value):
            self.stack.extend(reversed(value))

    def may_hold_descriptors(self, values: Collection[Any]) -> bool:
        """Returns whether numbers of open files are looked for here. Many plain values are data, unless all are such numbers."""
        numbers = self.view.descriptors
        return bool(numbers) and (
            len(values) <= _FEW or not set(map(type, values)) <= ATOMS or numbers.issuperset(values)
        )

    def sort(self, values: Iterable[Any]) -> list[Any]:
        """Returns a set's elements in an order that does not depend on hashes."""
        kinds = set(map(type, values))
        if len(kinds) < 2 and kinds <= {str, int, bytes}:
            return sorted(values)

        def digest(element: Any) -> str:
            encoder = Encoder(self.view, self.encodings, self.loose)
            encoder.key = self.key
            encoder._encode(element)
            return encoder.digest()

        return sorted(values, key=digest)


class _Sink:
    """A file that a pickle is written to."""

    __slots__ = ("write",)

    def __init__(self, into: Any) -> None:
        self.write = into.update


def _containers_of_plain(value: Any) -> dict[int, int] | None:
    """Returns the ids of all lists and dictionaries in a value, if it is a tree of plain data; else None."""
    if type(value) not in (list, dict, tuple):
        return None
    level, seen, total = [value], set[int](), 0
    for _ in range(_DEEPEST):
        places = [id(each) for each in level if type(each) is not tuple]
        before = len(seen)
        seen.update(places)
        if len(seen) - before != len(places):
            return None  # shared
        inside = gc.get_referents(*level)
        kinds = set(map(type, inside))
        total += len(inside)
        if not kinds <= _PLAIN or total > _WIDEST:
            return None
        if kinds <= ATOMS:
            return dict.fromkeys(seen, 0)
        level = [each for each in inside if type(each) not in ATOMS]
    return None


def with_article(what: str) -> str:
    """Returns a noun with "a" or "an" before it."""
    return ("an " if what[:1].lower() in "aeiou" else "a ") + what


def attributes_without_dunders(function: Any) -> Mapping[str, Any]:
    """Returns a function's own attributes but for those of Python and of decorators."""
    return {name: value for name, value in vars(function).items() if name[:2] != "__"}
