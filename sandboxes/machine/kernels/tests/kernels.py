"""What the tests of these kernels share. The other half is the harness of Python's kernel."""

import pathlib
import sys
import tempfile
import unittest

KERNELS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(KERNELS.parents[1] / "python" / "tests"))

import machine


class Case(unittest.TestCase):
    """A case whose kernels are started by `ARGV`."""

    maxDiff = None
    ARGV: list[str] = []

    def kernel(self, **options):
        home = tempfile.TemporaryDirectory(prefix="switchtower-machine-", dir="/var/tmp")
        self.addCleanup(home.cleanup)
        kernel = machine.Kernel(self.ARGV, pathlib.Path(home.name).resolve(), **options)
        kernel.home = pathlib.Path(home.name).resolve()
        self.addCleanup(kernel.close)
        return kernel

    def ran(self, *cells, kernel=None):
        """Runs cells in one kernel. Returns what the last one gave; all have to finish."""
        kernel = kernel or self.kernel()
        for source in cells:
            ran = kernel.cell(source)
            self.assertEqual(ran.ending, {"exit": "finished", "code": 0}, (source, ran))
        return ran

    def prints(self, out, *cells, kernel=None):
        self.assertEqual(self.ran(*cells, kernel=kernel).out, out)
