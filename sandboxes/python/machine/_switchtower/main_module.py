"""The module `__main__` of a program, whose file exists as soon as anybody asks for it.

Processes that `multiprocessing` and its like start run that file again. For all others there is none, so that a listing
of the working directory shows the program's own files and nothing else.
"""

from __future__ import annotations

import linecache
import os
import types
from typing import Any

from .paths import PROGRAM


class MainModule(types.ModuleType):
    @property
    def __file__(self) -> Any:  # type: ignore[override]
        names = vars(self)
        if "__file__" not in names:
            raise AttributeError("module '__main__' has no attribute '__file__'")
        if names["__file__"] == PROGRAM:
            names["__file__"] = _written()
        return names["__file__"]

    @__file__.setter
    def __file__(self, path: Any) -> None:
        vars(self)["__file__"] = path

    @__file__.deleter
    def __file__(self) -> None:
        vars(self).pop("__file__", None)


def _written() -> str:
    """Returns the path of a file with the program's text."""
    text = "".join(linecache.cache[PROGRAM][2]).encode("utf-8", "surrogatepass")  # type: ignore[index,misc]
    try:
        with open(PROGRAM, "xb") as file:
            file.write(text)
        return PROGRAM
    except FileExistsError:
        with open(PROGRAM, "rb") as file:
            if file.read(len(text) + 1) == text:
                return PROGRAM
    except OSError:
        pass
    # The path is another file's.
    import tempfile

    path = os.path.join(tempfile.mkdtemp(prefix="program-"), os.path.basename(PROGRAM))
    with open(path, "wb") as file:
        file.write(text)
    return path
