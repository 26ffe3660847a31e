"""What has a form comes out of a pickle as it was, or has none: the state of a session is never silently wrong."""

import base64
import csv
import io
import itertools
import pickle
import types
import unittest

import package

package.use("transfer")
groups = package.module("state_transfer.digest.groups")
pickled = package.module("state_transfer.export.pickled")
view = package.module("state_transfer.digest.view")


def encoded(value):
    """Returns the view of a session with one name, and what was encoded of it."""
    main = types.ModuleType("__main__")
    main.x = value
    seen = view.View(main, {"<test>": 1})
    return seen, groups.encode_each(seen, seen.roots())["x"]


class Case(unittest.TestCase):
    def moved(self, value):
        """Returns what a value is on the other side."""
        seen, encoder = encoded(value)
        text, reason = pickled.pickle_group(seen, {"x": value}, 1 << 24)
        self.assertIsNone(reason, value)
        made = pickle.loads(base64.b64decode(text))[0]["x"]
        self.assertEqual(encoder.digest(), encoded(made)[1].digest(), value)
        return made

    def is_not_movable(self, value):
        seen, _ = encoded(value)
        text, reason = pickled.pickle_group(seen, {"x": value}, 1 << 24)
        self.assertIsNone(text, value)
        self.assertIn("cannot be pickled", reason)

    def differ(self, one, other):
        self.assertNotEqual(encoded(one)[1].digest(), encoded(other)[1].digest(), (one, other))


class Readers(Case):
    def test_a_csv_reader_reads_on_where_it_was(self):
        parts = ["a,b", "c,d"], ["e,f", "g,h"]
        for source in (lambda: itertools.chain(*parts), lambda: itertools.chain.from_iterable(parts),
                       lambda: iter(sum(parts, [])), lambda: io.StringIO("\n".join(sum(parts, [])))):  # fmt: skip
            for read in range(4):
                reader = csv.reader(source())
                for _ in range(read):
                    next(reader)
                made = self.moved(self.moved(reader))
                self.assertEqual((made.line_num, list(made)), (read, list(reader)))


if __name__ == "__main__":
    unittest.main()
