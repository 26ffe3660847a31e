"""What cannot be imported here: where the program itself wants it, the need is named."""

import importlib.abc
import sys

from . import host
from .paths import HOME, is_program

# Where the libraries lie: filled once the path is settled.
folders = ()

_IMPORTING = ("<frozen importlib._bootstrap", "/switchtower/")
# Packages that pandas has no use of its own for: it wants them because the program asked for what they do.
_FOR_PANDAS = ("pandas/compat/_optional.py", "pandas/io/")


def is_callers(file):
    """Whether code is the caller's own: the program, text that it runs, or a module that it brought along."""
    if is_program(file):
        return True
    if file.startswith(folders):
        return False
    return file.startswith((HOME + "/", "/tmp/")) or file != "" and not file.startswith(("/", "<frozen "))


class Finder(importlib.abc.MetaPathFinder):
    """Finds nothing, and tells the host what the program wanted."""

    def find_spec(self, name, path=None, target=None):
        if ("." not in name or name.startswith("IPython.")) and not host.silent and _wanted():
            host.lack("MODULE", name.partition(".")[0])
        return None


def _wanted():
    """Libraries try modules that they can do without; a program means what it imports."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_IMPORTING) and not file.endswith("/importlib/__init__.py"):
            return is_callers(file) or _wanted_by_pandas(frame, file)
        frame = frame.f_back
    return False


def _wanted_by_pandas(frame, file):
    if not any(part in file for part in _FOR_PANDAS):
        return False
    # Of two packages for one purpose the second is tried where the first is missing.
    return frame.f_locals.get("errors", "raise") == "raise" and not any(
        asked.f_code.co_name == "get_engine" for asked in (frame, frame.f_back, frame.f_back.f_back) if asked
    )


def install():
    global folders
    known = {folder for folder in (*sys.path, sys.base_prefix, sys.prefix) if folder and folder not in (HOME, "/")}
    folders = tuple(sorted(folder.rstrip("/") + "/" for folder in known))
    sys.path[:] = [HOME, *(folder for folder in sys.path if folder not in ("", HOME))]
    sys.meta_path.append(Finder())
