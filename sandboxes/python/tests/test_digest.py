"""Digests are equal for equal state, and differ where what the program can see differs."""

import collections
import datetime
import decimal
import enum
import os
import subprocess
import sys
import types
import unittest

import package

package.use("transfer")
groups = package.module("state_transfer.digest.groups")
view = package.module("state_transfer.digest.view")


def main_with(**names):
    main = types.ModuleType("__main__")
    main.__dict__.update(names)
    return view.View(main, {"<test>": 1})


def digest(value):
    seen = main_with(x=value)
    return groups.encode_each(seen, seen.roots())["x"].digest()


class Digests(unittest.TestCase):
    def test_equal_values_have_equal_digests(self):
        values = [
            lambda: None, lambda: 1 << 80, lambda: -0.5, lambda: "text\udc80", lambda: b"\x00", lambda: 2 + 3j,
            lambda: [1, [2, {"three": (4, None)}]], lambda: {"a": {1, 2}, "b": frozenset("xyz")},
            lambda: collections.OrderedDict(a=1), lambda: collections.Counter("abca"), lambda: collections.deque([1], 3),
            lambda: decimal.Decimal("1.50"), lambda: datetime.datetime(2024, 1, 2, 3), lambda: range(3), lambda: ...,
        ]  # fmt: skip
        digests = [digest(make()) for make in values]
        self.assertEqual(digests, [digest(make()) for make in values])
        self.assertEqual(len(set(digests)), len(digests))

    def test_unlike_values_have_unlike_digests(self):
        pairs = [(1, True), (1, 1.0), ("1", 1), (b"1", "1"), ([1], (1,)), ({1: 2, 3: 4}, {3: 4, 1: 2}), (0.0, -0.0),
                 ({1}, frozenset({1})), (decimal.Decimal("1.5"), decimal.Decimal("1.50"))]  # fmt: skip
        for one, other in pairs:
            self.assertNotEqual(digest(one), digest(other), (one, other))

    def test_the_order_of_a_set_does_not_depend_on_hashes(self):
        program = (
            "import sys; sys.path.insert(0, sys.argv[1]); import test_digest; "
            "print(test_digest.digest({'one', 'two', ('three', 3), None, 5}))"
        )
        here = os.path.dirname(os.path.abspath(__file__))
        seeds = ("0", "1", "77")
        environments = [{**os.environ, "PYTHONHASHSEED": seed} for seed in seeds]
        command = [sys.executable, "-c", program, here]
        outputs = {subprocess.run(command, env=env, capture_output=True, check=True).stdout for env in environments}
        self.assertEqual(len(outputs), 1)

    def test_sharing_and_cycles_are_part_of_the_value(self):
        shared: list[int] = []
        self.assertNotEqual(digest([shared, shared]), digest([[], []]))
        cycle: list[object] = []
        cycle.append(cycle)
        self.assertNotEqual(digest(cycle), digest([[]]))

    def test_names_that_share_are_one_group(self):
        shared = [1]
        seen = main_with(a=shared, b={"shared": shared}, c=[1], d=1, e=1)
        encoders = groups.encode_each(seen, seen.roots())
        self.assertEqual(sorted(groups.group(encoders)), [["a", "b"], ["c"], ["d"], ["e"]])

    def test_the_kernels_own_names_are_no_roots(self):
        seen = main_with(x=1, _private=2, _=3, _i=4, _i7=5, In=[], Out={2: "two"}, get_ipython=6, __doc__="")
        self.assertEqual(sorted(seen.roots()), ["Out[2]", "_private", "x"])

    def test_what_cannot_be_compared_is_named(self):
        def generate():
            yield 1

        ended = generate()
        self.assertEqual(list(ended), [1])
        seen = main_with(g=generate(), ended=ended, f=iter([1]), lock=__import__("threading").Lock())
        encoders = groups.encode_each(seen, seen.roots())
        self.assertEqual(encoders["g"].opaque, {"g": "a generator"})
        for name in ("ended", "f", "lock"):
            self.assertEqual(encoders[name].opaque, {}, name)

    def test_an_object_that_refuses_to_be_read_is_opaque_and_not_fatal(self):
        class Refuses(enum.Enum):
            ONE = 1

        class Hostile(dict):
            def __reduce_ex__(self, protocol):
                raise RuntimeError("no")

        Hostile.__module__ = "elsewhere"
        seen = main_with(h=Hostile(), e=Refuses.ONE)
        encoders = groups.encode_each(seen, seen.roots())
        self.assertIn("h", encoders["h"].opaque)


if __name__ == "__main__":
    unittest.main()
