"""Files for tests: of `test.support.os_helper`."""

import contextlib
import os
import shutil
import tempfile
import unittest

TESTFN_ASCII = "@test_tmp"
TESTFN = TESTFN_ASCII + "-æ"
TESTFN_UNICODE = TESTFN
TESTFN_UNENCODABLE = TESTFN_UNDECODABLE = TESTFN_NONASCII = None
SAVEDCWD = os.getcwd()


def unlink(path):
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path)


def rmdir(path):
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path)


def rmtree(path):
    shutil.rmtree(path, ignore_errors=True)


def create_empty_file(path):
    open(path, "w").close()


@contextlib.contextmanager
def temp_dir(path=None, quiet=False):
    made = tempfile.mkdtemp() if path is None else path
    os.makedirs(made, exist_ok=True)
    try:
        yield made
    finally:
        rmtree(made)


@contextlib.contextmanager
def change_cwd(path, quiet=False):
    before = os.getcwd()
    os.chdir(path)
    try:
        yield os.getcwd()
    finally:
        os.chdir(before)


@contextlib.contextmanager
def temp_cwd(name="tempcwd", quiet=False):
    with temp_dir(name) as made, change_cwd(made) as folder:
        yield folder


class EnvironmentVarGuard:
    """The environment as a mapping; what was changed is restored."""

    def __init__(self):
        self._before = {}

    def _remember(self, name):
        self._before.setdefault(name, os.environ.get(name))

    def __getitem__(self, name):
        return os.environ[name]

    def __contains__(self, name):
        return name in os.environ

    def __setitem__(self, name, value):
        self._remember(name)
        os.environ[name] = value

    def __delitem__(self, name):
        self.unset(name)

    def set(self, name, value):
        self[name] = value

    def unset(self, *names):
        for name in names:
            self._remember(name)
            os.environ.pop(name, None)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class FakePath:
    def __init__(self, path):
        self.path = path

    def __fspath__(self):
        if isinstance(self.path, BaseException) or isinstance(self.path, type) and issubclass(self.path, BaseException):
            raise self.path
        return self.path


def can_symlink():
    return False


def skip_unless_symlink(test):
    return unittest.skip("needs symbolic links")(test)


skip_unless_hardlink = skip_unless_xattr = skip_unless_working_chmod = skip_unless_symlink


def __getattr__(name):
    from test.support import _Unavailable

    if name.startswith("__"):
        raise AttributeError(name)
    return _Unavailable(f"test.support.os_helper.{name}")
