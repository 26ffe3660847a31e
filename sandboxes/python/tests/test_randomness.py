"""Random generators of the guest: unseeded in the snapshot, seeded by the first draw."""

import os
import random
import subprocess
import sys
import unittest

PROGRAM = """
import random, sys
sys.path.insert(0, sys.argv[1])
import package
host = {"awake": True, "identity": lambda: None}
package.use("wasm", host=host)
randomness, replacements = package.module("randomness"), package.module("replacements")
draw = random.random
shared = replacements.Replacements()
randomness.install(shared)
shared.spread()
seeds = []
import _random
real = random.Random.seed
random.Random.seed = lambda self, a=None, version=2: (seeds.append(a), real(self, a, version))[1]
"""


def run(program):
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run([sys.executable, "-c", PROGRAM + program, here], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


class Generators(unittest.TestCase):
    def test_nothing_is_seeded_before_the_first_draw(self):
        self.assertEqual(run("print(type(random._inst).__name__, seeds)"), ["Unseeded", "[]"])

    def test_the_first_draw_takes_a_seed_once(self):
        self.assertEqual(run("random.random(); random.random(); print(type(random._inst).__name__, seeds)"),
                         ["Random", "[None]"])  # fmt: skip

    def test_a_seed_of_the_programs_own_is_the_only_one(self):
        drawn = run("random.seed(7); print(seeds, random.random())")
        self.assertEqual(drawn, ["[7]", repr(random.Random(7).random())])

    def test_a_method_that_was_taken_before_the_first_draw_works_after_it(self):
        self.assertEqual(run("mine = random.random; random.seed(7); print(mine())"), [repr(random.Random(7).random())])


if __name__ == "__main__":
    unittest.main()
