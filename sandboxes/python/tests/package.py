"""Makes the package `_switchtower` importable in a plain Python, for tests."""

import importlib
import pathlib
import sys
import types

PYTHON = pathlib.Path(__file__).resolve().parents[1]


def use(*parts, **modules):
    """Imports `_switchtower` from these folders of `sandboxes/python`. `modules` take the place of its own."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "_switchtower"]:
        del sys.modules[name]
    package = sys.modules["_switchtower"] = types.ModuleType("_switchtower")
    package.__path__ = [str(PYTHON / part / "_switchtower") for part in parts]
    for name, attributes in modules.items():
        module = sys.modules[f"_switchtower.{name}"] = types.ModuleType(f"_switchtower.{name}")
        module.__dict__.update(attributes)
        setattr(package, name, module)
    return package


def module(name):
    """Returns a module of the package."""
    return importlib.import_module(f"_switchtower.{name}")
