"""Threads of tests, of `test.support.threading_helper`: a test that starts one is skipped."""

import contextlib
import unittest


def requires_working_threading(*, module=False):
    if module:
        raise unittest.SkipTest("needs threads")
    return unittest.skip("needs threads")


def reap_threads(test):
    return test


def threading_setup():
    return ()


def threading_cleanup(*before):
    pass


@contextlib.contextmanager
def wait_threads_exit(timeout=None):
    yield


@contextlib.contextmanager
def start_threads(threads, unlock=None):
    raise unittest.SkipTest("needs threads")
    yield


def __getattr__(name):
    from test.support import _Unavailable

    if name.startswith("__"):
        raise AttributeError(name)
    return _Unavailable(f"test.support.threading_helper.{name}")
