"""Runs the tests of one module of CPython's and prints a line for each: `@@` and a JSON array of its name, how it ended and
why. The first line of the file `skipped.txt`, if there is one, names tests that are not run."""

import importlib
import json
import os
import sys
import unittest
import warnings

MODULE, SKIPPED = open("module.txt").read().split("\n", 1)


def report(test, outcome, reason=""):
    os.write(1, f"@@{json.dumps([test, outcome, reason])}\n".encode())


class Result(unittest.TestResult):
    def startTest(self, test):
        self.failed = None
        self.counted = True
        report(test.id(), "started")
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        if self.counted:
            report(test.id(), "failed" if self.failed else "passed", self.failed or "")

    def _fail(self, error):
        text = f"{error[0].__name__}: {error[1]}"
        self.failed = self.failed or " ".join(text.split())[:300]

    def addError(self, test, error):
        if isinstance(test, unittest.TestCase):
            self._fail(error)
        else:
            report(str(test), "failed", f"{error[0].__name__}: {error[1]}"[:300])

    def addFailure(self, test, error):
        self._fail(error)

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self._fail(error)

    def addSkip(self, test, reason):
        if isinstance(test, unittest.TestCase):
            self.counted = False
            report(test.id(), "skipped", reason)

    def addUnexpectedSuccess(self, test):
        self.failed = "an unexpected success"


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


sys.path.insert(0, os.getcwd())
warnings.simplefilter("ignore")
try:
    module = importlib.import_module(f"test.{MODULE}")
except unittest.SkipTest as error:
    report(MODULE, "skipped", str(error))
    sys.exit()
skipped = set(SKIPPED.split())
suite = unittest.TestSuite(
    test for test in tests_of(unittest.defaultTestLoader.loadTestsFromModule(module)) if test.id() not in skipped
)
suite.run(Result())
