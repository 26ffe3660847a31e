"""Shows matplotlib's figures as a notebook does: as pictures, tightly cut, and closed after that."""

from __future__ import annotations

import io
import sys
import threading
import traceback
from typing import Any

from . import host, representations


def flush() -> None:
    """Shows the figures that are open, oldest first."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not pyplot.get_fignums():
        return
    try:
        for manager in pyplot._pylab_helpers.Gcf.get_all_fig_managers():
            host.show(representations.mime_bundle(manager.canvas.figure), False)
    finally:
        pyplot.close("all")


def discard() -> None:
    """Closes the figures that are open, which nobody is to see."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


def _show(*args: Any, **kwargs: Any) -> None:
    """Display all open figures."""
    flush()


_show.__name__ = _show.__qualname__ = "show"
_show.__module__ = "matplotlib.pyplot"


def _pictures(value: Any) -> list[Any]:
    """Returns the picture of a figure, where there is something in it."""
    figure = sys.modules.get("matplotlib.figure")
    if figure is None or not isinstance(value, figure.Figure) or not (value.axes or value.lines):
        return []
    picture = io.BytesIO()
    try:
        value.canvas.print_figure(
            picture, format="png", dpi=value.dpi, facecolor=value.get_facecolor(), edgecolor=value.get_edgecolor(),
            bbox_inches="tight",
        )  # fmt: skip
    except Exception:
        traceback.print_exc()  # as in a notebook: the program goes on
        return []
    return [("image/png", picture.getvalue())]


def load() -> None:
    """Imports matplotlib without a screen and without a folder to keep things in: only its own fonts are looked for."""
    import os
    import pathlib
    import subprocess

    def nothing(*args: Any, **kwargs: Any) -> None:
        raise OSError("no other programs here")

    class NoTimer:
        daemon = True

        def __init__(self, *args: Any) -> None:
            pass

        start = cancel = __init__

    folders, replaced = pathlib.Path, (os.access, threading.Timer, subprocess.check_output, os.walk)
    make, is_there = folders.mkdir, folders.is_dir
    before = os.environ.get("MPLCONFIGDIR")
    # It needs a writable folder, and would make one for this process alone. It is shown one that does not exist.
    os.environ["MPLCONFIGDIR"] = "/switchtower/matplotlib"
    folders.mkdir, folders.is_dir, os.access = (
        (lambda *args, **kwargs: None),
        (lambda _: True),
        (lambda *args, **kwargs: True),
    )
    threading.Timer, subprocess.check_output = NoTimer, nothing
    try:
        import logging

        import matplotlib

        # It warns that the list of fonts cannot be kept.
        logging.getLogger("matplotlib.font_manager").disabled = True
        own, walk = os.path.dirname(matplotlib.__file__) + os.sep, os.walk
        os.walk = lambda top, *args, **kwargs: walk(top, *args, **kwargs) if os.fspath(top).startswith(own) else ()
        import matplotlib.font_manager
    finally:
        os.access, threading.Timer, subprocess.check_output, os.walk = replaced
        folders.mkdir, folders.is_dir = make, is_there
        os.environ.pop("MPLCONFIGDIR")
        if before is not None:
            os.environ["MPLCONFIGDIR"] = before
    logging.getLogger("matplotlib.font_manager").disabled = False
    # From here on there is a home folder.
    for function in ("get_configdir", "get_cachedir"):
        # They cache their first result.
        setattr(
            matplotlib, function, getattr(getattr(matplotlib, function), "__wrapped__", getattr(matplotlib, function))
        )
    matplotlib.use("agg")
    import matplotlib.pyplot

    adapt(matplotlib.pyplot)


def adapt(pyplot: Any) -> None:
    """Lets the module show figures here."""
    pyplot.show = _show


def clear_caches() -> None:
    """Drops what is read from files that are open here: a child has none of them."""
    manager, mathtext = sys.modules.get("matplotlib.font_manager"), sys.modules.get("matplotlib.mathtext")
    parser = getattr(mathtext, "MathTextParser", None)
    for cache in getattr(manager, "_get_font", None), getattr(parser, "_parse_cached", None):
        clear = getattr(cache, "cache_clear", None)
        if clear is not None:
            clear()


def install() -> None:
    representations.extra.append(_pictures)
    representations.before_end.append(flush)
