"""Which modules, names and source files belong to the program rather than to Python, a library or the kernel."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any

# A library's random generator whose methods are a module's functions: module, where the generator is, its name there.
_GENERATORS = ("random", "random", "_inst"), ("numpy.random", "numpy.random.mtrand", "_rand")
_STREAMS = ("__stdout__", "__stderr__", "__stdin__", "stdout", "stderr", "stdin")


class View:
    """The program's modules and names, and the number of the cell that a source file belongs to."""

    def __init__(
        self,
        main: types.ModuleType,
        files: Mapping[str, int | None],
        homes: Collection[str] = (),
        baseline: Collection[str] = (),
        alias: Callable[[Any], tuple[str, str] | None] | None = None,
        known: Collection[str] = frozenset(),
    ) -> None:
        """`files`: file name to number of the cell; `homes`: folders with modules of the program's; `baseline`: names in
        `main` that are not the program's; `known`: modules that were imported before the program."""
        self.files = files
        self.modules = {"__main__": main}
        self._homes = tuple(homes)
        # A program makes modules too; libraries make some that nobody names.
        named = {id(value) for value in main.__dict__.values() if type(value) is types.ModuleType}
        # Libraries that were imported before the program are many, and looking at each takes longer than all the rest.
        for name in sys.modules.keys() - set(known) - {"__main__"}:
            module = sys.modules[name]
            if not name.startswith("_switchtower"):
                is_made = id(module) in named and module.__spec__ is None
                if is_made or self._is_own(getattr(module, "__file__", None)):
                    self.modules[name] = module
        self.alias = alias
        self._namespaces = {id(module.__dict__) for module in self.modules.values()}
        self.streams = {id(getattr(sys, name)): name for name in _STREAMS}
        self._baseline = baseline
        self.layouts: dict[type, Any] = {}
        # Numbers that are those of open files, while names that lead to one are looked for.
        self.descriptors: frozenset[int] = frozenset()
        # How values are encoded, once some were.
        self.encodings: Any = None
        # Objects made while encoding: as long as they live, nothing else has their ids.
        self.kept: list[object] = []

    def roots(self) -> dict[str, Any]:
        """Returns key and value of all that the program named. A key with a dot is a name in a module of the program."""
        found = {}
        main = self.modules["__main__"].__dict__
        for name, value in list(main.items()):
            if not is_reserved(name) and name not in self._baseline:
                found[name] = value
        for module in self.modules:
            if module != "__main__":
                for name, value in list(self.modules[module].__dict__.items()):
                    if not (name.startswith("__") and name.endswith("__")):
                        found[f"{module}.{name}"] = value
        shown = main.get("Out")
        if isinstance(shown, dict):
            found.update((f"Out[{number}]", value) for number, value in list(shown.items()))
        return found

    def place(self, key: str) -> tuple[dict[Any, Any], str | int]:
        """Returns the dictionary in which a root is bound, and its name there."""
        if key.startswith("Out["):
            return self.modules["__main__"].__dict__["Out"], int(key[4:-1])
        module, _, name = key.rpartition(".")
        return self.modules[module or "__main__"].__dict__, name

    def named(self, thing: Any) -> str | None:
        """Returns the key by which a function or class of the program is found; None if there is none."""
        module = self.modules.get(getattr(thing, "__module__", None))  # type: ignore[arg-type]
        if module is None:
            return None
        path = getattr(thing, "__qualname__", "<")
        found: Any = module
        if "<" in path:
            return None
        for part in path.split("."):
            found = found.__dict__.get(part) if isinstance(found, (type, types.ModuleType)) else None
        if isinstance(found, (staticmethod, classmethod)):
            found = found.__func__
        return (path if module.__name__ == "__main__" else f"{module.__name__}.{path}") if found is thing else None

    def public(self, thing: Any) -> tuple[str, str] | None:
        """Returns module and name of a library's function or class as programs know it; None if it has no such name."""
        # Before the alias: the guest's unseeded generator hands out its methods and changes its class later.
        for module, holder, name in _GENERATORS:
            shared = getattr(sys.modules.get(holder), name, None)
            if shared is not None and getattr(thing, "__self__", None) is shared:
                return module, thing.__name__
        if self.alias is not None and str(getattr(thing, "__module__", None)).startswith("_switchtower"):
            return self.alias(thing)
        return None

    def cell(self, code: types.CodeType) -> int | None:
        """Returns the number of the cell that a piece of code is from."""
        return self.files.get(code.co_filename)

    def wrote(self, function: Any) -> bool:
        """Returns whether the program wrote a function, rather than that a library made it."""
        file = function.__code__.co_filename
        return self.files.get(file) is not None or self._is_own(file)

    def _is_own(self, file: Any) -> bool:
        """Returns whether a source file is the program's."""
        if not isinstance(file, str) or not file.startswith(self._homes):
            return False
        return "site-packages" not in file and "/lib/python" not in file

    def is_namespace(self, names: dict[str, Any]) -> bool:
        """Returns whether a dictionary is that of a module of the program's."""
        return id(names) in self._namespaces

    def is_own_namespace(self, names: dict[str, Any]) -> bool:
        """Returns whether a dictionary is that of any module, or of one that was loaded from a file and not registered."""
        home = sys.modules.get(names.get("__name__", ""))
        return (
            self.is_namespace(names) or getattr(home, "__dict__", None) is names or self._is_own(names.get("__file__"))
        )

    def is_made_of_text(self, function: Any) -> bool:
        """Returns whether a function was made by `exec` or `eval`, in a module of the program or in no module at all."""
        file, names = function.__code__.co_filename, function.__globals__
        if self.wrote(function) or file.startswith(("/", "<frozen", "<switchtower")):
            return False
        if self.is_namespace(names):
            return True
        home = sys.modules.get(names.get("__name__", ""))
        return getattr(home, "__dict__", None) is not names and not is_found(function)

    def is_made(self, module: types.ModuleType) -> bool:
        """Returns whether the program made a module itself, which cannot be found by its name."""
        if sys.modules.get(module.__name__) is module:
            return False
        return module.__spec__ is None or self._is_own(getattr(module, "__file__", None))


def is_found(function: Any) -> bool:
    """Returns whether a function is what its module has under its name."""
    found: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function


def is_reserved(name: object) -> bool:
    """Returns whether a name in `__main__` is the kernel's, not the program's."""
    if not isinstance(name, str) or name in ("In", "Out", "exit", "quit", "get_ipython", "display"):
        return True
    if name.startswith("_"):
        rest = name.lstrip("_")
        return (
            not rest
            or rest in ("i", "ii", "iii", "ih", "oh", "dh")
            or rest.removeprefix("i").isdigit()
            or (name.startswith("__") and name.endswith("__"))
            or name.startswith("_switchtower")
        )
    return False
