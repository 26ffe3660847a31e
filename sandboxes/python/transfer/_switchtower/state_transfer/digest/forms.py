"""Values that cannot be pickled although what they are can be said in other values: closed files, locks, databases in memory.

A form says of one class which values those are, for the digest, and how they make an equal object in another kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .encoder import Encode, Encoder, Marker, with_article
from .objects import encode_object

Parts = tuple[Any, ...]


class Form:
    """How values of one class are compared, and made again."""

    def __init__(
        self,
        what: str,
        parts: Callable[[Any], Parts | None],
        make: Callable[..., Any] | None = None,
        seen: Callable[[Any], Parts | None] | None = None,
        otherwise: Encode = encode_object,
    ) -> None:
        """`parts` are the arguments of `make`, or None for a value in a state that cannot be made; `seen` are the values
        to compare, where they are others. `otherwise` encodes what has none. Without `make` a value is only compared."""
        self.what, self._parts, self.make, self._seen, self._otherwise = what, parts, make, seen or parts, otherwise

    def reduce(self, value: Any) -> tuple[Callable[..., Any], Parts] | None:
        """Returns a function that makes an equal value and its arguments; None where there is none."""
        parts = _called(self._parts, value) if self.make is not None else None
        return None if parts is None or self.make is None else (self.make, parts)

    def encode(self, encoder: Encoder, value: Any) -> None:
        """Adds a value to a digest."""
        seen = _called(self._seen, value)
        if seen is None:
            self._otherwise(encoder, value)
            return
        if self.make is None:
            encoder.lossy.setdefault(encoder.key, with_article(self.what))
        encoder.view.kept.append(seen)
        encoder.push([Marker(b"form " + self.what.encode()), *seen])


def _called(function: Callable[[Any], Parts | None], value: Any) -> Parts | None:
    try:
        return function(value)
    except Exception:  # libraries raise what they like for what is closed, or belongs to another thread
        return None
