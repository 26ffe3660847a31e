"""Representations of values by MIME type, as a notebook shows them."""

from __future__ import annotations

import base64
import builtins
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import host, json_values
from .failure import clean
from .pretty import pretty

# Whether values are shown as in a notebook's cell, where lines are broken and lists are JSON as well.
notebook = False
# Whether lists and dictionaries are JSON as well outside of notebooks.
structured = False
# Functions that return further representations of a value: pairs of MIME type and bytes, or text that stays as it is.
extra: list[Callable[[Any], Iterable[tuple[str, str | bytes]]]] = []
# Functions that show what a cell leaves to its end.
before_end: list[Callable[[], None]] = []
# The formatters in which cells registered functions, by MIME type.
registered: dict[str, Any] = {}

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
# What E2B's SDK reads besides: the columns of a table, the contents of a chart.
DATA, CHART = "application/vnd.e2b.data+json", "application/vnd.e2b.chart+json"
_DATA_METHODS = (("_repr_e2b_data_", DATA), ("_repr_e2b_chart_", CHART))
# Values of these types have only their repr: methods are not looked for.
_PLAIN = frozenset({int, float, complex, bool, str, bytes, list, tuple, dict, set, frozenset, range})


def mime_bundle(value: Any) -> list[tuple[str, str]]:
    """Returns MIME types and their data. What `repr` raises, this raises."""
    if notebook:
        displays = getattr(type(value), "_ipython_display_", None)
        if callable(displays) and not isinstance(value, type):
            displays(value)
            return []
        if registered:
            return list({**dict(_mime_bundle(value)), **dict(_as_registered(value))}.items())
    return _mime_bundle(value)


def _as_registered(value: Any) -> Iterator[tuple[str, str]]:
    """Yields what functions that cells registered make of a value; that of its text is called by the printer."""
    for mime, formatter in registered.items():
        function = formatter.find(type(value)) if mime != "text/plain" else None
        if function is not None:
            try:
                thing = function(value)
            except Exception:
                traceback.print_exc()  # as in a notebook: the other representations are shown
                continue
            if thing is not None:
                yield mime, encode(mime, thing)


def _mime_bundle(value: Any) -> list[tuple[str, str]]:
    data = [("text/plain", clean(pretty(value) if notebook else repr(value)))]
    if (notebook or structured) and isinstance(value, (list, dict)):
        text = json_values.of_container(value)
        if text is not None:
            data.append(("application/json", text))
    if type(value) in _PLAIN or isinstance(value, type):
        return data
    given = _call_method(value, "_repr_mimebundle_", include=None, exclude=None)
    if isinstance(given, tuple):
        given = given[0]
    if isinstance(given, dict):
        rich = {mime: encode(mime, thing) for mime, thing in given.items() if thing is not None}
        return list({**dict(data), **rich}.items())
    for method, mime in (*METHODS, *_DATA_METHODS) if notebook else METHODS:
        thing = _call_method(value, method)
        if isinstance(thing, tuple) and mime != "application/json":
            thing = thing[0]  # data with metadata
        if thing is not None:
            data.append((mime, encode(mime, thing)))
    for representations in extra:
        data.extend(
            (mime, thing if isinstance(thing, str) else encode(mime, thing)) for mime, thing in representations(value)
        )
    return data


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
            return json_values.of_message(thing)
        except TypeError:
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
