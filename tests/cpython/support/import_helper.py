"""Imports of tests: of `test.support.import_helper`."""

import contextlib
import importlib
import sys
import unittest
import warnings


def import_module(name, deprecated=False, *, required_on=()):
    with warnings.catch_warnings():
        if deprecated:
            warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise unittest.SkipTest(str(error)) from None


def _of(names):
    return [name for name in sys.modules if any(name == one or name.startswith(one + ".") for one in names)]


def import_fresh_module(name, fresh=(), blocked=(), *, deprecated=False, **options):
    """Imports a module anew, with those in `fresh` anew as well, and as if those in `blocked` were missing."""
    before = {one: sys.modules[one] for one in _of([name, *fresh, *blocked])}
    for one in before:
        del sys.modules[one]
    for one in blocked:
        sys.modules[one] = None
    try:
        with warnings.catch_warnings():
            if deprecated:
                warnings.simplefilter("ignore", DeprecationWarning)
            for one in fresh:
                importlib.import_module(one)
            return importlib.import_module(name)
    except ImportError:
        return None
    finally:
        for one in _of([name, *fresh, *blocked]):
            del sys.modules[one]
        sys.modules.update(before)


class CleanImport:
    def __init__(self, *names, usefrozen=False):
        self._before = dict(sys.modules)
        for name in names:
            sys.modules.pop(name, None)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        sys.modules.update(self._before)


@contextlib.contextmanager
def frozen_modules(enabled=True):
    yield


def forget(name):
    sys.modules.pop(name, None)


unload = forget


def __getattr__(name):
    from test.support import _Unavailable

    if name.startswith("__"):
        raise AttributeError(name)
    return _Unavailable(f"test.support.import_helper.{name}")
