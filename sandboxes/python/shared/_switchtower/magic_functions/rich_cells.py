"""Shows the text of a cell as what it is: `%%html`, `%%latex` and their like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ipython
from ..magic_registry import CELL


def _showing(kind: Any) -> Callable[[Any, str, str], None]:
    return lambda kernel, line, cell: ipython.display(kind(cell)) and None


for _names, _kind in (
    (("html", "HTML"), ipython.HTML),
    (("latex",), ipython.Latex),
    (("markdown",), ipython.Markdown),
    (("javascript", "js"), ipython.Javascript),
    (("svg", "SVG"), ipython.SVG),
):
    CELL.update(dict.fromkeys(_names, _showing(_kind)))
