"""Settings of the kernel: `%precision`, `%config` and their like."""

from __future__ import annotations

import sys
from typing import Any

from .. import pretty
from ..magic_registry import LINE, UsageError, line, refuse

# Extensions that change nothing here: they concern files that change, and pictures.
_EXTENSIONS = frozenset({"autoreload", "matplotlib", "matplotlib_inline", "google.colab.data_table"})


@line("precision")
def _precision(kernel: Any, line: str) -> str:
    text = line.strip()
    if text.isascii() and text.isdigit():
        form = f"%.{min(int(text), 99)}f"
    elif "%" in text:
        try:
            text % 3.14159
        except Exception:
            raise ValueError("Precision must be int or format string, not " + repr(text)) from None
        form = text
    elif not text:
        form = "%r"
    else:
        raise ValueError("Precision must be int or format string, not " + repr(text))
    pretty.float_format = None if form == "%r" else form
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.set_printoptions(precision=int(text) if text.isdigit() else 8)
    return form


def _nothing(kernel: Any, line: str) -> None:
    """Has no effect here: there is no screen, and modules are loaded again in no kernel."""


LINE.update(dict.fromkeys(("matplotlib", "autoreload", "colors", "autosave"), _nothing))


@line("config")
def _config(kernel: Any, line: str) -> None:
    # How pictures are made of figures: here they are always PNG.
    if not line.strip().startswith("InlineBackend"):
        refuse(f"config {line}".strip(), "Line magic function `%config` is for InlineBackend here.")


@line("load_ext", "reload_ext")
def _load_extension(kernel: Any, line: str) -> None:
    name = line.strip()
    if name not in _EXTENSIONS:
        refuse(f"load_ext {name}", f"No module named {name!r}")


@line("xmode")
def _xmode(kernel: Any, line: str) -> None:
    mode = line.strip().capitalize() or "Context"
    if mode not in ("Plain", "Context", "Verbose", "Minimal", "Docs"):
        raise UsageError(f"%xmode takes Plain, Context, Verbose, Minimal or Docs, not {line.strip()}")
    if mode != "Context":
        refuse(f"xmode {line}".strip(), "Line magic function `%xmode` knows only Context here.")
    print(f"Exception reporting mode: {mode}")
