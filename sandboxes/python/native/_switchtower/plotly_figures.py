"""Lets plotly show its figures as in a notebook: as its JSON, and as HTML that loads the library from its own address."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Sequence
from typing import Any

_MODULE = "plotly.io._renderers"


class Finder:
    """Finds plotly's module of renderers, and adapts it once it is imported. It has no base class: that of finders is in
    a module that loads many others."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name == _MODULE else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_adapt(module: types.ModuleType) -> None:
            execute(module)
            _adapt(module)

        spec.loader.exec_module = execute_and_adapt  # type: ignore[method-assign]
        return spec


def _adapt(module: Any) -> None:
    # It looks only whether notebooks' format is new enough for its data; there is no notebook here that is stored.
    module.nbformat = types.SimpleNamespace(__version__="5.10.4")
    module.renderers.default = "plotly_mimetype+notebook_connected"


def install() -> None:
    sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]
