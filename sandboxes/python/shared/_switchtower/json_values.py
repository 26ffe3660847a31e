"""JSON of values, as the kernel of E2B's templates makes it: keys that are not text, dates, enumerations, dataclasses."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable, Iterable
from typing import Any

# Returns the JSON of a list or dict, or raises `TypeError`: a faster function than the one here, if there is one.
encode_faster: Callable[[Any], str] | None = None

# As deep as the encoder of E2B's kernel goes.
_MAX_DEPTH = 250


def of_container(value: Any) -> str | None:
    """Returns the JSON of a list or dict; `None` where something in it has none."""
    try:
        if encode_faster is not None:
            return encode_faster(value)
        return _text(value if _is_json(value, 0) else _plain(value, 0, None))
    except (ValueError, TypeError, RecursionError):
        return None


def of_message(value: Any) -> str:
    """Returns the JSON of data that a representation consists of. Raises `TypeError` where it has none."""
    try:
        return _text(value if _is_json(value, 0) else _plain(value, 0, _other))
    except (ValueError, RecursionError) as error:
        raise TypeError(f"not JSON: {error}") from None


def _text(plain: Any) -> str:
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text.encode()
    return text


def _is_json(value: Any, depth: int) -> bool:
    """Returns whether a value is JSON as it is, so that nothing must be copied."""
    if depth > _MAX_DEPTH:
        return False
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            return False
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return False
    kinds = set(map(type, value))
    if int in kinds and not all(_is_encodable(n) for n in value if type(n) is int):
        return False
    if float in kinds and not all(math.isfinite(n) for n in value if type(n) is float):
        return False
    inside = kinds - {int, float, str, bool, type(None)}
    if not inside <= {list, tuple, dict}:
        return False
    return not inside or all(_is_json(below, depth + 1) for below in value if type(below) in inside)


def _is_encodable(number: int) -> bool:
    return -(1 << 63) <= number < 1 << 64


def _plain(value: Any, depth: int, other: Callable[[Any], Any] | None) -> Any:
    """Returns a copy of which `json` makes the same text as the encoder of E2B's kernel. What that encoder does not
    know goes through `other`."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is int:
        if _is_encodable(value):
            return value
        raise TypeError("an integer of more than 64 bits")
    if depth > _MAX_DEPTH:
        raise TypeError("nested too deeply")
    if _is_of(value, "enum", "Enum"):
        return _plain(value.value, depth + 1, other)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return _plain(int.__index__(value), depth + 1, other)
    if isinstance(value, dict):
        return {_key(key, other): _plain(item, depth + 1, other) for key, item in value.items()}
    if isinstance(value, list) or kind is tuple:
        return [_plain(item, depth + 1, other) for item in value]
    if (text := _date_or_id(value)) is not None:
        return text
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is not None and not isinstance(value, type):
        shown = [name for name in fields if not name.startswith("_") and hasattr(value, name)]
        return {name: _plain(getattr(value, name), depth + 1, other) for name in shown}
    if other is None:
        raise TypeError(f"a {kind.__name__} has no JSON")
    return _plain(other(value), depth + 1, other)


def _key(key: Any, other: Callable[[Any], Any] | None) -> str:
    kind = type(key)
    if kind is str:
        return key
    if _is_of(key, "enum", "Enum"):
        return _key(key.value, other)
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or kind is bool:
        return {None: "null", True: "true", False: "false"}[key]
    if kind is float:
        return repr(key) if math.isfinite(key) else "null"
    if isinstance(key, int) and _is_encodable(key):
        return int.__repr__(key)
    if (text := _date_or_id(key)) is not None:
        return text
    if other is None:
        raise TypeError(f"a {kind.__name__} is no key of JSON")
    return str(key)


def _date_or_id(value: Any) -> str | None:
    kind = type(value)
    if _is_exactly(kind, "datetime", "datetime", "date", "time"):
        if kind.__name__ == "time" and value.tzinfo is not None:
            raise TypeError("a time of day with a time zone")
        return value.isoformat()
    return str(value) if _is_exactly(kind, "uuid", "UUID") else None


def _other(value: Any) -> Any:
    """Returns what the kernel's messages hold of values that are not JSON."""
    if _is_of(value, "datetime", "date"):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, Iterable):
        return list(value)
    if hasattr(type(value), "__index__"):
        return type(value).__index__(value)
    if _is_of(value, "numbers", "Real"):
        return float(value)
    raise TypeError(f"a {type(value).__name__} has no JSON")


def _is_of(value: Any, module: str, name: str) -> bool:
    # Without the module there is no value of its type.
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _is_exactly(kind: type, module: str, *names: str) -> bool:
    return (
        kind.__module__ == module
        and kind.__name__ in names
        and kind is getattr(sys.modules.get(module), kind.__name__, None)
    )
