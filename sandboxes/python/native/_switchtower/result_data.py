"""What E2B's SDK reads from results beside pictures and text: the columns of a table, the contents of a chart.

E2B's templates make both in the kernel. A chart is read from matplotlib's figure by the package `e2b_charts`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import ipython, json_values, representations
from .representations import CHART, DATA

# A table or chart with more values or points has no data, for reading them takes as long as a second; nor has one whose
# JSON is longer: all results of a cell share 16 MiB. What is too large is told before it is copied.
_MAX_VALUES = 50_000
_MAX_BYTES = 4 << 20
# Kinds of NumPy's types whose values are short.
_SHORT = "biufcmM"
_TEXT = (str, bytes, bytearray)

_chart_of: Callable[[Any], dict[str, Any]] | None = None


def _data(value: Any) -> Iterator[tuple[str, str]]:
    """Yields the columns of a DataFrame, where it is not too long."""
    pandas = sys.modules.get("pandas")
    frame = getattr(pandas, "DataFrame", None)
    if frame is None or not isinstance(value, frame) or not representations.notebook or value.size > _MAX_VALUES:
        return
    columns = (value.iloc[:, number].array for number in range(value.shape[1]))
    if not _is_short([value.columns, *(column for column in columns if column.dtype.kind not in _SHORT)]):
        return
    with warnings.catch_warnings():
        # About columns of the same name: the last one is kept.
        warnings.simplefilter("ignore")
        columns = value.to_dict(orient="list")
    with contextlib.suppress(TypeError):
        yield from _short(DATA, json_values.of_message(columns))


def _chart(value: Any) -> Iterator[tuple[str, str]]:
    """Yields the contents of a figure; none where they cannot be read."""
    kind = getattr(sys.modules.get("matplotlib.figure"), "Figure", None)
    if kind is None or not isinstance(value, kind) or not representations.notebook or not _load():
        return
    assert _chart_of is not None
    try:
        if not _has_few_points(value):
            return
        with warnings.catch_warnings():
            # About what the package reads; they are not the program's.
            warnings.simplefilter("ignore")
            text = json_values.of_message(_chart_of(value))
    except Exception:
        text = "{}"
    yield from _short(CHART, text)


def _has_few_points(figure: Any) -> bool:
    points, read = 0, []
    for axes in figure.axes:
        for drawn in axes._children:
            points += 1
            if hasattr(drawn, "_xorig"):
                points += len(drawn._xorig)
                read += [drawn._xorig, drawn._yorig]
            elif hasattr(drawn, "_offsets"):
                points += len(drawn._offsets)
    return points <= _MAX_VALUES and _is_short(read)


def _is_short(values: list[Any]) -> bool:
    """Returns whether the JSON of values is not longer than the most, about. Looks at no more of them than that takes."""
    left, unread = _MAX_BYTES, list(values)
    while unread and left >= 0:
        inside = unread.pop()
        if getattr(getattr(inside, "dtype", None), "kind", "O") in _SHORT:
            left -= 8 * inside.size
            continue
        for value in itertools.chain(inside, inside.values()) if isinstance(inside, dict) else inside:
            left -= len(value) if isinstance(value, _TEXT) else 4
            if left < 0:
                break
            if isinstance(value, Iterator):
                return False  # reading it would change it
            if isinstance(value, Iterable) and not isinstance(value, _TEXT):
                unread.append(value)
    return left >= 0


def _short(mime: str, text: str) -> Iterator[tuple[str, str]]:
    if len(text) <= _MAX_BYTES:
        yield mime, text


def _load() -> bool:
    """Imports the package that reads charts. Returns whether it is installed."""
    global _chart_of
    if _chart_of is None:
        try:
            from e2b_charts import chart_figure_to_dict
        except ImportError:
            return False
        _chart_of = chart_figure_to_dict
    return True


def _show_saved_pictures() -> None:
    """Lets a picture of PIL that a cell saves to a path be displayed as well."""
    image = getattr(sys.modules.get("PIL.Image"), "Image", None)
    if image is None or hasattr(image.save, "__wrapped__"):
        return
    save = image.save

    @functools.wraps(save)
    def save_and_show(self: Any, fp: Any, format: Any = None, **params: Any) -> None:
        if representations.notebook and isinstance(fp, str):
            ipython.display(self)
        save(self, fp, format, **params)

    image.save = save_and_show


def _encode_with(orjson: Any) -> Callable[[Any], str]:
    options = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS

    def encode(value: Any) -> str:
        text: bytes = orjson.dumps(value, option=options)
        return text.decode()

    return encode


def install() -> None:
    """Adds the representations."""
    representations.extra += [_data, _chart]


def use_orjson() -> None:
    """Lets the encoder of E2B's kernel make the JSON of values, where it is installed."""
    with contextlib.suppress(ImportError):
        import orjson

        json_values.encode_faster = _encode_with(orjson)


def install_in_libraries() -> None:
    """Prepares the libraries that are imported."""
    _show_saved_pictures()
    if "matplotlib.figure" in sys.modules:
        _load()
