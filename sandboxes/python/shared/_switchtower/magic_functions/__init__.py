"""The magics that kernels here run themselves: importing this package adds all of them to the registry."""

from ..magic_registry import CELL, LINE, SURROUNDING
from . import capture, files, inspection, names, rich_cells, settings, timing

__all__ = [
    "CELL", "LINE", "SURROUNDING", "capture", "files", "inspection", "names", "rich_cells", "settings", "timing",
]  # fmt: skip
