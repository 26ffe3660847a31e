"""Lists that Rust or the stand-in for E2B have too are those of `lists.json`."""

import json
import re
import unittest

import package

LISTS = json.loads((package.PYTHON / "lists.json").read_text())
DRIVER = package.PYTHON.parent / "fake-e2b" / "src" / "kernel" / "driver"


class Lists(unittest.TestCase):
    def setUp(self):
        host = {"report_need": None, "show": None}
        package.use("shared", host=host)

    def test_paths(self):
        paths = package.module("paths")
        self.assertEqual(paths.HOME, LISTS["home"])
        self.assertEqual(list(paths.OWN_FOLDERS), LISTS["own_folders"])

    def test_magics_that_run_commands(self):
        self.assertEqual(package.module("magics").SHELL_MAGICS, set(LISTS["shell_magics"]))

    def test_representations(self):
        self.assertEqual(dict(package.module("representations").METHODS), LISTS["display_methods"])
        self.assertEqual({"text/plain", *LISTS["display_methods"].values()}, LISTS["representations"].keys())

    def test_representations_of_the_stand_in(self):
        names: dict = {}
        text = (DRIVER / "display.py").read_text()
        exec(text[: re.search(r"^def ", text, re.MULTILINE).start()], names)
        own = {"e2b/data": "data", "e2b/chart": "chart"}
        self.assertEqual(names["KEYS"], {**LISTS["representations"], **own})
        methods = {"_repr_e2b_data_": "e2b/data", "_repr_e2b_chart_": "e2b/chart"}
        self.assertEqual(names["METHODS"], {**LISTS["display_methods"], **methods})


if __name__ == "__main__":
    unittest.main()
