"""Settings of the kernel: `%precision`, `%config` and their like."""

from __future__ import annotations

import sys
from typing import Any

from .. import pretty, tracebacks
from ..magic_registry import UsageError, line, refuse

# Extensions that kernels here have, or need none of.
_EXTENSIONS = frozenset({"autoreload", "matplotlib", "matplotlib_inline", "google.colab.data_table"})
# Modes of `%autoreload`; without `%aimport`, of which there is none here, "explicit" concerns no module.
_MODES = {"now": True, "0": False, "off": False, "1": False, "explicit": False, "2": True, "all": True}


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


@line("matplotlib")
def _matplotlib(kernel: Any, line: str) -> None:
    # Figures are shown as pictures, whatever draws them.
    if line.strip() not in ("", "inline", "agg"):
        refuse(f"matplotlib {line}".strip(), f"%matplotlib knows only inline here, not {line.strip()}")


@line("colors")
def _colors(kernel: Any, line: str) -> None:
    # Text has no colours here.
    if line.strip().lower() not in ("nocolor", "linux", "lightbg", "neutral"):
        raise UsageError("%colors takes NoColor, Linux, LightBG or Neutral")


@line("autosave")
def _autosave(kernel: Any, line: str) -> None:
    text = line.strip()
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"%autosave requires an integer, got {text!r}")
    # It is the client's notebook that is saved, or not.
    print(f"Autosaving every {int(text)} seconds" if int(text) else "Autosave disabled")


@line("autoreload")
def _autoreload(kernel: Any, line: str) -> None:
    mode = line.strip().lower() or "now"
    if mode not in _MODES:
        refuse(f"autoreload {line}", f"%autoreload takes now, off, explicit or all, not {line.strip()}")
    if mode == "now":
        kernel.reloader.reload_changed()
    else:
        kernel.reloader.is_on = _MODES[mode]


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
    if mode == "Docs":
        refuse(f"xmode {line}".strip(), "Line magic function `%xmode` does not know Docs here.")
    tracebacks.mode = mode
    print(f"Exception reporting mode: {mode}")
