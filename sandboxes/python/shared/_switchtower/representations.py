"""Representations of values by MIME type, as a notebook shows them."""

from __future__ import annotations

import base64
import builtins
import json
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import host
from .failure import clean
from .pretty import pretty

# Whether values are shown as in a notebook's cell, where lines are broken and lists are JSON as well.
notebook = False
# Whether lists and dictionaries are JSON as well outside of notebooks.
structured = False
# Functions that return further representations of a value: pairs of MIME type and data.
extra: list[Callable[[Any], Iterable[tuple[str, Any]]]] = []

METHODS = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
    ("_repr_pdf_", "application/pdf"),
    ("_repr_latex_", "text/latex"),
    ("_repr_json_", "application/json"),
    ("_repr_javascript_", "application/javascript"),
)
# Values of these types have only their repr: methods are not looked for.
_PLAIN = frozenset({int, float, complex, bool, str, bytes, list, tuple, dict, set, frozenset, range})


def mime_bundle(value: Any) -> list[tuple[str, str]]:
    """Returns MIME types and their data. What `repr` raises, this raises."""
    if notebook:
        displays = getattr(type(value), "_ipython_display_", None)
        if callable(displays) and not isinstance(value, type):
            displays(value)
            return []
    data = [("text/plain", clean(pretty(value) if notebook else repr(value)))]
    if (notebook or structured) and isinstance(value, (list, dict)):
        data.extend(("application/json", text) for text in _json(value))
    if type(value) in _PLAIN or isinstance(value, type):
        return data
    given = _call_method(value, "_repr_mimebundle_", include=None, exclude=None)
    if isinstance(given, tuple):
        given = given[0]
    if isinstance(given, dict):
        rich = {mime: encode(mime, thing) for mime, thing in given.items() if thing is not None}
        return list({**dict(data), **rich}.items())
    for method, mime in METHODS:
        thing = _call_method(value, method)
        if isinstance(thing, tuple) and mime != "application/json":
            thing = thing[0]  # data with metadata
        if thing is not None:
            data.append((mime, encode(mime, thing)))
    for representations in extra:
        data.extend((mime, encode(mime, thing)) for mime, thing in representations(value))
    return data


def _json(value: Any) -> Iterator[str]:
    """Yields the JSON of a list or dict, where it is all JSON."""
    try:
        if _is_json(value, 0):
            text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            text.encode()
            yield text
    except (ValueError, TypeError, RecursionError):
        pass


def _is_json(value: Any, depth: int) -> bool:
    # As deep as the encoder of E2B's kernel goes.
    if depth > 250:
        return False
    if isinstance(value, dict):
        if not all(type(key) is str for key in value):
            return False
        value = value.values()
    kinds = set(map(type, value))
    if int in kinds and not all(-(1 << 63) <= n < 1 << 64 for n in value if type(n) is int):
        return False
    if float in kinds and not all(math.isfinite(n) for n in value if type(n) is float):
        return False
    inside = kinds - {int, float, str, bool, type(None)}
    if not all(issubclass(kind, (list, tuple, dict)) for kind in inside):
        return False
    return not inside or all(_is_json(below, depth + 1) for below in value if type(below) in inside)


def _call_method(value: Any, method: str, **options: Any) -> Any:
    found = getattr(type(value), method, None)
    if not callable(found):
        return None
    try:
        return found(value, **options)
    except Exception:
        return None  # as IPython: a representation that fails is not shown


def encode(mime: str, thing: Any) -> str:
    """Returns the data of one representation as text: bytes in base64, objects as JSON."""
    if isinstance(thing, (bytes, bytearray)):
        return base64.b64encode(thing).decode()
    if mime == "application/json" or mime.endswith("+json") or isinstance(thing, (dict, list)):
        try:
            return json.dumps(thing)
        except (TypeError, ValueError, RecursionError):
            pass
    return clean(thing if isinstance(thing, str) else str(thing))


def display(*values: Any, **_options: Any) -> None:
    """Shows values in the order given, as a notebook's `display` does."""
    for value in values:
        host.show(mime_bundle(value), False)


def show_result(value: Any) -> None:
    """Shows the value of the last expression. `None` is not shown."""
    if value is not None:
        builtins._ = value
        host.show(mime_bundle(value), True)


def install() -> None:
    builtins.display = display
