"""Runs the tests of one module of CPython's, as `task.json` says, and prints a line for each: `@@` and a JSON array of its
name, how it ended, what the exception said, the line of the test that it came from, and its seconds.

The task: `module`; `seconds` after which no further test is started; `done`, names of tests that are not run; `only`, the
names of those that are, or null for all. The last line is `@@["", "end", …]`, or `"more"` where tests are left."""

import importlib
import json
import linecache
import os
import sys
import time
import unittest
import warnings

# The clock of the WebAssembly tier moves on by what tests sleep: that ends a run early, and the next one continues.
STARTED = time.perf_counter()
with open("task.json") as file:
    TASK = json.load(file)


def report(test, outcome, reason="", line="", seconds=0.0):
    # A test may have left another file under the number of standard output, or printed half a line.
    os.write(1, f"\n@@{json.dumps([test, outcome, reason[:600], line[:200], round(seconds, 1)])}\n".encode())


def line_of(trace):
    """Returns the innermost line of the test module itself."""
    found = ""
    while trace is not None:
        name, number = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        if "/test/" in name.replace("\\", "/") and "/support/" not in name:
            found = linecache.getline(name, number).strip() or found
        trace = trace.tb_next
    return found


class Result(unittest.TestResult):
    def startTest(self, test):
        self.failed = None
        self.counted = True
        report(test.id(), "started")
        self.started = time.perf_counter()
        super().startTest(test)

    def stopTest(self, test):
        super().stopTest(test)
        if self.counted:
            outcome = "failed" if self.failed else "passed"
            report(test.id(), outcome, *(self.failed or ("", "")), time.perf_counter() - self.started)

    def _fail(self, error):
        self.failed = self.failed or described(error)

    def addError(self, test, error):
        if isinstance(test, unittest.TestCase):
            self._fail(error)
        else:
            report(str(test), "failed", *described(error))

    def addFailure(self, test, error):
        self._fail(error)

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self._fail(error)

    def addSkip(self, test, reason):
        if isinstance(test, unittest.TestCase):
            # A subtest that is skipped is no test.
            if hasattr(test, "test_case"):
                return
            self.counted = False
            report(test.id(), "skipped", reason)
        else:
            report(str(test), "skipped", reason)

    def addUnexpectedSuccess(self, test):
        self.failed = "an unexpected success", ""


def described(error):
    kind, value, trace = error
    try:
        text = f"{kind.__name__}: {value}"
    except Exception as another:
        text = f"{kind.__name__}, whose text raises {type(another).__name__}"
    return " ".join(text.encode("ascii", "backslashreplace").decode().split()), line_of(trace)


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


class Suite(unittest.TestSuite):
    """Stops where the time is over."""

    def __iter__(self):
        for test in super().__iter__():
            if time.perf_counter() - STARTED > TASK["seconds"]:
                self.left = True
                return
            yield test


sys.path.insert(0, os.getcwd())
warnings.simplefilter("ignore")
try:
    try:
        module = importlib.import_module(f"test.{TASK['module']}")
    except ModuleNotFoundError as error:
        # Modules with which CPython tests its functions in C: where one is missing, the tests that use it are skipped.
        if error.name not in ("_testcapi", "_testinternalcapi"):
            raise
        from test.support import _Unavailable

        sys.modules[error.name] = _Unavailable(error.name)
        module = importlib.import_module(f"test.{TASK['module']}")
except unittest.SkipTest as error:
    report(TASK["module"], "skipped", str(error))
    report("", "end")
    sys.exit()
done, only = set(TASK["done"]), TASK["only"] and set(TASK["only"])
suite = Suite(
    test
    for test in tests_of(unittest.defaultTestLoader.loadTestsFromModule(module))
    if test.id() not in done and (only is None or test.id() in only)
)
suite.left = False
suite.run(Result())
report("", "more" if suite.left else "end")
sys.stdout.flush()
# Threads that a test left running would keep the interpreter.
os._exit(0)
