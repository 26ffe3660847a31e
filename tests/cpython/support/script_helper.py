"""Other processes of tests, of `test.support.script_helper`: a test that starts one is skipped."""

import unittest


def _skip(*args, **options):
    raise unittest.SkipTest("needs other processes")


assert_python_ok = assert_python_failure = run_python_until_end = spawn_python = kill_python = make_script = _skip
make_pkg = make_zip_script = make_zip_pkg = run_test_script = _skip


def interpreter_requires_environment():
    return False
