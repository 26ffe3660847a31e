"""Stands in for CPython's `test.support`: what its own test modules use of it, as far as it concerns programs.

A name that is missing here skips the tests that use it. What needs other processes, a debugger's view of the interpreter or
gigabytes is skipped: the comparison is about what programs see.
"""

import contextlib
import functools
import gc
import io
import os
import sys
import time
import unittest

verbose = False
TEST_HOME_DIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
is_wasi = sys.platform == "wasi"
is_emscripten = is_jython = is_android = is_apple = Py_DEBUG = MS_WINDOWS = False
has_fork_support = has_subprocess_support = has_socket_support = False
has_strftime_extensions = True
HAVE_DOCSTRINGS = MISSING_C_DOCSTRINGS = False
MAX_Py_ssize_t = sys.maxsize
_1M, _1G, _2G, _4G = 1 << 20, 1 << 30, 2 << 30, 4 << 30
SHORT_TIMEOUT, LONG_TIMEOUT, LOOPBACK_TIMEOUT, INTERNET_TIMEOUT = 30.0, 300.0, 5.0, 60.0
PIPE_MAX_SIZE = 4 << 20 | 1


class Error(Exception):
    pass


class TestFailed(Error):
    pass


class ResourceDenied(unittest.SkipTest):
    pass


class _Unavailable:
    """A part of test.support that is not here: as a decorator it skips a test, and when it is used it skips the one that runs."""

    def __init__(self, name):
        self._name = name

    def __call__(self, *args, **options):
        if len(args) == 1 and not options and (isinstance(args[0], type) or callable(args[0])):
            return unittest.skip(f"needs {self._name}")(args[0])
        return self

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unavailable(f"{self._name}.{name}")

    def __enter__(self):
        raise unittest.SkipTest(f"needs {self._name}")

    def __exit__(self, *error):
        return False

    def __bool__(self):
        return False


_PARTS = ("import_helper", "os_helper", "script_helper", "threading_helper", "warnings_helper")


def __getattr__(name):
    # `from test.support import os_helper` looks here before it imports.
    if name.startswith("__") or name in _PARTS:
        raise AttributeError(name)
    return _Unavailable(f"test.support.{name}")


def cpython_only(test):
    return test


def impl_detail(message=None, **guards):
    return lambda test: test


def check_impl_detail(**guards):
    return guards.get("cpython", not any(guards.values()))


def requires_IEEE_754(test):
    return test


def requires_docstrings(test):
    return unittest.skip("needs docstrings of functions in C")(test)


def _needs_memory(*args, **options):
    return unittest.skip("needs gigabytes")


bigmemtest = _needs_memory
bigaddrspacetest = unittest.skip("needs gigabytes")


def _needs_process(*args, **options):
    return lambda test: unittest.skip("needs other processes")(test)


requires_subprocess = requires_fork = requires_resource = requires_venv_with_pip = _needs_process


def skip_if_pgo_task(test):
    return test


def skip_if_sanitizer(*reasons, **kinds):
    return skip_if_pgo_task


skip_if_buggy_ucrt_strfptime = skip_if_pgo_task


def is_resource_enabled(resource):
    return resource == "cpu"


def requires(resource, message=None):
    raise ResourceDenied(message or f"needs the resource {resource}")


def gc_collect():
    for _ in range(3):
        gc.collect()


@contextlib.contextmanager
def disable_gc():
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def captured_output(name):
    before = getattr(sys, name)
    setattr(sys, name, io.StringIO())
    try:
        yield getattr(sys, name)
    finally:
        setattr(sys, name, before)


def captured_stdout():
    return captured_output("stdout")


def captured_stderr():
    return captured_output("stderr")


def captured_stdin():
    return captured_output("stdin")


@contextlib.contextmanager
def swap_attr(owner, name, value):
    is_set = hasattr(owner, name)
    before = getattr(owner, name, None)
    setattr(owner, name, value)
    try:
        yield before
    finally:
        if is_set:
            setattr(owner, name, before)
        elif hasattr(owner, name):
            delattr(owner, name)


@contextlib.contextmanager
def swap_item(owner, name, value):
    is_set = name in owner
    before = owner[name] if is_set else None
    owner[name] = value
    try:
        yield before
    finally:
        if is_set:
            owner[name] = before
        elif name in owner:
            del owner[name]


@contextlib.contextmanager
def adjust_int_max_str_digits(digits):
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(digits)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(before)


@contextlib.contextmanager
def infinite_recursion(max_depth=75):
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(max_depth, 100))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@contextlib.contextmanager
def setswitchinterval(interval):
    yield


class catch_unraisable_exception:
    def __enter__(self):
        self.unraisable = None
        self._before, sys.unraisablehook = sys.unraisablehook, self._note
        return self

    def _note(self, unraisable):
        self.unraisable = unraisable

    def __exit__(self, *error):
        sys.unraisablehook = self._before
        del self.unraisable


def run_with_tz(zone):
    def decorate(test):
        @functools.wraps(test)
        def in_zone(*args, **options):
            if not hasattr(time, "tzset"):
                raise unittest.SkipTest("needs time.tzset")
            before = os.environ.get("TZ")
            os.environ["TZ"] = zone
            time.tzset()
            try:
                return test(*args, **options)
            finally:
                if before is None:
                    del os.environ["TZ"]
                else:
                    os.environ["TZ"] = before
                time.tzset()

        return in_zone

    return decorate


def run_with_locale(category, *names):
    import locale

    def decorate(test):
        @functools.wraps(test)
        def in_locale(*args, **options):
            kind = getattr(locale, category)
            before = locale.setlocale(kind)
            for name in names:
                try:
                    locale.setlocale(kind, name)
                    break
                except locale.Error:
                    pass
            try:
                return test(*args, **options)
            finally:
                locale.setlocale(kind, before)

        return in_locale

    return decorate


def get_attribute(owner, name):
    if not hasattr(owner, name):
        raise unittest.SkipTest(f"needs the attribute {name}")
    return getattr(owner, name)


def check_syntax_error(case, text, pattern="", *, lineno=None, offset=None):
    with case.assertRaisesRegex(SyntaxError, pattern) as raised:
        compile(text, "<test string>", "exec")
    case.assertIsNotNone(raised.exception.lineno)
    if lineno is not None:
        case.assertEqual(raised.exception.lineno, lineno)
    if offset is not None:
        case.assertEqual(raised.exception.offset, offset)


def check_disallow_instantiation(case, kind, *args, **options):
    case.assertRaises(TypeError, kind, *args, **options)


def check__all__(case, module, name_of_module=None, extra=(), not_exported=()):
    raise unittest.SkipTest("names that a version exports are not compared")


def check_free_after_iterating(*args, **options):
    raise unittest.SkipTest("needs test.support.check_free_after_iterating")


check_sizeof = check_free_after_iterating


def findfile(name, subdir=None):
    return os.path.join(TEST_HOME_DIR, *filter(None, (subdir, name)))


def run_unittest(*cases):
    pass


def run_doctest(module, verbosity=None, optionflags=0):
    return 0, 0


def load_package_tests(folder, loader, standard, pattern):
    standard.addTests(loader.discover(start_dir=folder, top_level_dir=os.path.dirname(TEST_HOME_DIR), pattern="test*"))
    return standard


def sortdict(given):
    return "{" + ", ".join(f"{key!r}: {given[key]!r}" for key in sorted(given)) + "}"


def maybe_get_event_loop_policy():
    import asyncio.events

    return asyncio.events._event_loop_policy


@functools.total_ordering
class _Largest:
    def __eq__(self, other):
        return isinstance(other, _Largest)

    def __lt__(self, other):
        return False


@functools.total_ordering
class _Smallest:
    def __eq__(self, other):
        return isinstance(other, _Smallest)

    def __gt__(self, other):
        return False


class _AlwaysEqual:
    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False


class _NeverEqual:
    def __eq__(self, other):
        return False

    def __ne__(self, other):
        return True

    def __hash__(self):
        return 1


LARGEST, SMALLEST, ALWAYS_EQ, NEVER_EQ = _Largest(), _Smallest(), _AlwaysEqual(), _NeverEqual()
