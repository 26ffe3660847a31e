"""Sessions go on after a move as if they had not moved, or the reason names the cell: all cases of `tests/drop_in/moves`."""

import pathlib
import subprocess
import sys
import unittest

MOVES = pathlib.Path(__file__).resolve().parents[3] / "tests" / "drop_in" / "moves" / "check.py"


class Moves(unittest.TestCase):
    def test_every_case_moves_or_says_why_not(self):
        done = subprocess.run([sys.executable, str(MOVES)], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
