"""Warnings of tests: of `test.support.warnings_helper`."""

import contextlib
import functools
import gc
import re
import sys
import warnings


class Recorder:
    def __init__(self, caught):
        self._caught = caught
        self._seen = 0

    def __getattr__(self, name):
        if len(self._caught) > self._seen:
            return getattr(self._caught[-1], name)
        if name in warnings.WarningMessage._WARNING_DETAILS:
            return None
        raise AttributeError(name)

    @property
    def warnings(self):
        return self._caught[self._seen :]

    def reset(self):
        self._seen = len(self._caught)


@contextlib.contextmanager
def check_warnings(*filters, quiet=None):
    """Fails for a warning that no filter expects, and for a filter without a warning unless `quiet`."""
    if quiet is None:
        quiet = not filters
    filters = filters or (("", Warning),)
    for module in [module for module in sys.modules.values() if hasattr(module, "__warningregistry__")]:
        module.__warningregistry__.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield Recorder(caught)
    left = [warning.message for warning in caught]
    for text, kind in filters:
        met = [one for one in left if re.match(text, str(one), re.I) and issubclass(type(one), kind)]
        left = [one for one in left if one not in met]
        if not met and not quiet:
            raise AssertionError(f"no warning {text!r} of {kind.__name__}")
    if left:
        raise AssertionError(f"an unexpected warning: {left[0]!r}")


@contextlib.contextmanager
def check_no_warnings(case, message="", category=Warning, force_gc=False):
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", message=message, category=category)
        yield
        if force_gc:
            gc.collect()
    case.assertEqual(caught, [])


def check_no_resource_warning(case):
    return check_no_warnings(case, category=ResourceWarning, force_gc=True)


def ignore_warnings(*, category):
    def decorate(test):
        @functools.wraps(test)
        def quiet(*args, **options):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", category)
                return test(*args, **options)

        return quiet

    return decorate


def save_restore_warnings_filters():
    return warnings.catch_warnings()


def __getattr__(name):
    from test.support import _Unavailable

    if name.startswith("__"):
        raise AttributeError(name)
    return _Unavailable(f"test.support.warnings_helper.{name}")
