"""matplotlib's figures, shown as a notebook shows them: as pictures, tightly cut, and closed after that."""

import io
import sys
import threading
import traceback

from . import host, show


def flush():
    """Shows the figures that are open, oldest first."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None or not pyplot.get_fignums():
        return
    try:
        for manager in pyplot._pylab_helpers.Gcf.get_all_fig_managers():
            host.show(show.bundle(manager.canvas.figure), False)
    finally:
        pyplot.close("all")


def _show(*args, **kwargs):
    """Display all open figures."""
    flush()


_show.__name__ = _show.__qualname__ = "show"
_show.__module__ = "matplotlib.pyplot"


def _pictures(value):
    """The picture of a figure, where there is something in it."""
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


def load():
    """Imports matplotlib without a screen and without a folder to keep things in: only its own fonts are looked for."""
    import os
    import pathlib
    import subprocess

    def nothing(*args, **kwargs):
        raise OSError("no other programs here")

    class NoTimer:
        daemon = True

        def __init__(self, *args):
            pass

        start = cancel = __init__

    folders, held = pathlib.Path, (os.access, threading.Timer, subprocess.check_output, os.walk)
    make, is_there = folders.mkdir, folders.is_dir
    before = os.environ.get("MPLCONFIGDIR")
    # It wants a folder that it may write, and would make one for this process alone. It is shown one that is nowhere.
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

        # That the list of fonts cannot be kept is no news.
        logging.getLogger("matplotlib.font_manager").disabled = True
        own, walk = os.path.dirname(matplotlib.__file__) + os.sep, os.walk
        os.walk = lambda top, *args, **kwargs: walk(top, *args, **kwargs) if os.fspath(top).startswith(own) else ()
        import matplotlib.font_manager
    finally:
        os.access, threading.Timer, subprocess.check_output, os.walk = held
        folders.mkdir, folders.is_dir = make, is_there
        os.environ.pop("MPLCONFIGDIR")
        if before is not None:
            os.environ["MPLCONFIGDIR"] = before
    logging.getLogger("matplotlib.font_manager").disabled = False
    # Who asks from here on has a home.
    for function in ("get_configdir", "get_cachedir"):
        # They remember what they said first.
        setattr(
            matplotlib, function, getattr(getattr(matplotlib, function), "__wrapped__", getattr(matplotlib, function))
        )
    matplotlib.use("agg")
    import matplotlib.pyplot

    matplotlib.pyplot.show = _show


def forget():
    """Lets go of what is read from files that are open here: a child has none of them."""
    manager, mathtext = sys.modules.get("matplotlib.font_manager"), sys.modules.get("matplotlib.mathtext")
    parser = getattr(mathtext, "MathTextParser", None)
    for cache in getattr(manager, "_get_font", None), getattr(parser, "_parse_cached", None):
        if hasattr(cache, "cache_clear"):
            cache.cache_clear()


def install():
    show.further.append(_pictures)
