"""Values shown as a notebook shows them: a bundle of representations by MIME type."""

import base64
import builtins
import json

from . import host
from .failure import clean

_METHODS = (
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
# Values of these types have nothing but their repr: no method need be looked for.
_PLAIN = frozenset({int, float, complex, bool, str, bytes, list, tuple, dict, set, frozenset, range})


def bundle(value):
    """MIME types and their data. What `repr` raises, this raises."""
    data = [("text/plain", clean(repr(value)))]
    if type(value) in _PLAIN or isinstance(value, type):
        return data
    given = _ask(value, "_repr_mimebundle_", include=None, exclude=None)
    if isinstance(given, tuple):
        given = given[0]
    if isinstance(given, dict):
        rich = {mime: _carried(mime, thing) for mime, thing in given.items() if thing is not None}
        return list({**dict(data), **rich}.items())
    for method, mime in _METHODS:
        thing = _ask(value, method)
        if isinstance(thing, tuple) and mime != "application/json":
            thing = thing[0]  # data with metadata
        if thing is not None:
            data.append((mime, _carried(mime, thing)))
    return data


def _ask(value, method, **options):
    found = getattr(type(value), method, None)
    if not callable(found):
        return None
    try:
        return found(value, **options)
    except Exception:
        return None  # as IPython: a representation that fails is not shown


def _carried(mime, thing):
    if isinstance(thing, (bytes, bytearray)):
        return base64.b64encode(thing).decode()
    if mime == "application/json" or mime.endswith("+json"):
        return json.dumps(thing)
    return clean(thing if isinstance(thing, str) else str(thing))


def display(*values, **_options):
    """Shows values in the order given, as a notebook's `display` does."""
    for value in values:
        host.show(bundle(value), False)


def main(value):
    """Shows the value of the last expression. `None` is not shown."""
    if value is not None:
        builtins._ = value
        host.show(bundle(value), True)


def install():
    builtins.display = display
