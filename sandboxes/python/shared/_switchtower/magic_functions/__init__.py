"""The magics that kernels here run themselves: importing this package adds all of them to the registry."""

from ..magic_registry import CELL, LINE, SURROUNDING
from . import capture, commands, files, inspection, names, rich_cells, settings, timing

# What IPython has in modules of its own: a pickle names it.
CLASSES = capture.CapturedIO, capture.RichOutput, timing.TimeitResult

__all__ = [
    "CELL", "CLASSES", "LINE", "SURROUNDING", "capture", "commands", "files", "inspection", "names", "rich_cells",
    "settings", "timing",
]  # fmt: skip
