"""Gives pandas pyarrow when it is asked for: the zygote has pandas without it, for pyarrow has a thread and takes 30 MB.

pandas looks for pyarrow once, while it is imported. What it does then in its modules is done when a program uses a type
or a function that needs it. Text stays in Python's objects where the program does not say otherwise, so that E2B's
templates, where a session may move to, can read it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from typing import Any

_FLAG = "HAS_PYARROW"
# What pandas before 2.3 has instead, with the opposite sense. It is read only where a program has asked for pyarrow.
_OLD_FLAG = "pa_version_under10p1"
_COMPAT = "pandas.compat.pyarrow"
_TEXT = "pandas.core.arrays.string_"
# In these a program has asked for pyarrow by the time the flag is read.
_ASKING = ("pandas.core.dtypes.dtypes", "pandas.core.arrays.arrow.array", "pandas.core.arrays.string_arrow")
# In these the flag decides by itself what a function returns: they stay as they are.
_DECIDING = ("pandas.core.arrays.datetimes", "pandas.io.pytables", "pandas.io.sas.sas7bdat", _TEXT)

# What `pandas.compat.pyarrow` says of the versions, once pyarrow is there.
_versions: dict[str, bool] | None = None


class _Asked:
    """Stands for the flag in modules where reading it means to ask for pyarrow."""

    def __bool__(self) -> bool:
        return bool(_use())


class _AskedForText:
    """Stands for the flag where text gets its type: the program may have said where it is to be kept, or not."""

    def __bool__(self) -> bool:
        return sys._getframe(1).f_locals.get("storage") == "pyarrow" and bool(_use())


class _Version:
    """Stands for what pandas knows of the version."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __bool__(self) -> bool:
        return _use()[self._name]


class _Module(types.ModuleType):
    """Stands for a module of pyarrow that pandas' functions use by name."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _use()
        return getattr(importlib.import_module(self.__name__), name)


def install() -> None:
    """Prepares the modules of pandas that are imported."""
    if _COMPAT not in sys.modules or importlib.util.find_spec("pyarrow") is None:
        return
    compat = vars(sys.modules[_COMPAT])
    if compat.get(_FLAG, not compat.get(_OLD_FLAG)):
        return  # another version, or one that has it
    for name, names in _of_pandas():
        for known in [known for known in names if known.startswith("pa_version_under")]:
            names[known] = _Version(known)
        if name in _ASKING or name == _TEXT:
            if _FLAG in compat:
                names[_FLAG] = _AskedForText() if name == _TEXT else _Asked()
            names.setdefault("ArrowDtype", vars(sys.modules["pandas"])["ArrowDtype"])
            names.setdefault("pa", _Module("pyarrow"))
            names.setdefault("pc", _Module("pyarrow.compute"))
    readers = sys.modules.get("pandas.io.parsers.readers")
    if readers is not None:
        readers.CParserWrapper = _reader_of(readers.CParserWrapper)  # type: ignore[attr-defined]


def _reader_of(base: type) -> type:
    """Returns the reader of tables for which it is asked: what it would do with pyarrow is fixed when it is imported."""

    class Reader(base):  # type: ignore[misc]
        _is_arrow = False

        def __init__(self, source: Any, **options: Any) -> None:
            if options.get("dtype_backend") == "pyarrow":
                _use()
                self._is_arrow, self._types = True, options.get("dtype")
                options["dtype_backend"] = "numpy_nullable"
            super().__init__(source, **options)

        def read(self, rows: int | None = None) -> Any:
            index, names, columns = super().read(rows)
            if self._is_arrow:
                columns = {name: self._as_arrow(name, values) for name, values in columns.items()}
                if type(index) is sys.modules["pandas"].Index:
                    index = type(index)(_as_arrow(index.array), name=index.name)
            return index, names, columns

        def _as_arrow(self, name: Any, values: Any) -> Any:
            if self._types is not None and (not isinstance(self._types, dict) or name in self._types):
                return values
            return _as_arrow(values)

    Reader.__name__, Reader.__qualname__, Reader.__module__ = base.__name__, base.__qualname__, base.__module__
    return Reader


def _as_arrow(values: Any) -> Any:
    """Returns a column that pandas keeps with a mask, or as text, in pyarrow."""
    pandas, arrow = sys.modules["pandas"], importlib.import_module("pyarrow")
    if not isinstance(values, (pandas.arrays.BooleanArray, pandas.arrays.FloatingArray, pandas.arrays.IntegerArray)):
        if not isinstance(getattr(values, "dtype", None), pandas.StringDtype):
            return values
        array = arrow.array(values, type=arrow.string())
    else:
        array = arrow.nulls(len(values)) if len(values) and values.isna().all() else arrow.array(values)
    return pandas.arrays.ArrowExtensionArray(arrow.chunked_array([array]))


def _of_pandas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields name and names of the modules that know of pyarrow."""
    for name, module in list(sys.modules.items()):
        names = getattr(module, "__dict__", None) if name.startswith("pandas.") else None
        if isinstance(names, dict) and (_FLAG in names or any(each.startswith("pa_version_under") for each in names)):
            yield name, names


def _use() -> dict[str, bool]:
    """Imports pyarrow, and does in pandas' modules what they do where it is installed."""
    global _versions
    if _versions is not None:
        return _versions
    compat = sys.modules[_COMPAT]
    assert compat.__spec__ is not None and compat.__spec__.loader is not None
    fresh = importlib.util.module_from_spec(compat.__spec__)
    compat.__spec__.loader.exec_module(fresh)
    _versions = {name: value for name, value in vars(fresh).items() if type(value) is bool}
    for name, names in list(_of_pandas()):
        names.update({known: value for known, value in _versions.items() if known in names and known != _FLAG})
        if name not in _DECIDING and _FLAG in _versions:
            names[_FLAG] = _versions[_FLAG]
        _run_left_out(sys.modules[name])
    return _versions


def _run_left_out(module: types.ModuleType) -> None:
    """Runs the statements of a module that need pyarrow."""
    if module.__file__ is None or not module.__file__.endswith(".py"):
        return
    with open(module.__file__, "rb") as file:
        tree = ast.parse(file.read())
    for statement in tree.body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) in (_FLAG, f"not {_OLD_FLAG}"):
            body = ast.Module(statement.body, [])
            exec(compile(body, module.__file__, "exec", dont_inherit=True), vars(module))
