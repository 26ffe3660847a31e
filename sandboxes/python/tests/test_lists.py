"""Lists that several files have are equal: most are those of `lists.json`."""

import ast
import json
import re
import unittest

import package

LISTS = json.loads((package.PYTHON / "lists.json").read_text())
SANDBOXES = package.PYTHON.parent
DRIVER = SANDBOXES / "fake-e2b" / "src" / "kernel" / "driver"


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

    def test_magics_of_the_kernels(self):
        functions = package.module("magic_functions")
        commands = package.module("magics").SHELL_MAGICS
        self.assertEqual(functions.LINE.keys() - commands, set(LISTS["line_magics"]))
        self.assertEqual((functions.CELL.keys() | functions.SURROUNDING.keys()) - commands, set(LISTS["cell_magics"]))

    def test_representations(self):
        self.assertEqual(dict(package.module("representations").METHODS), LISTS["display_methods"])
        self.assertEqual({"text/plain", *LISTS["display_methods"].values()}, LISTS["representations"].keys())

    def test_representations_of_the_stand_in(self):
        # Not executed: the rest of the file needs the driver's other modules.
        statements = ast.parse((DRIVER / "display.py").read_text()).body
        lists = [one for one in statements if isinstance(one, ast.Assign) and isinstance(one.value, ast.Dict)]
        names = {one.targets[0].id: ast.literal_eval(one.value) for one in lists}
        own = {"e2b/data": "data", "e2b/chart": "chart"}
        self.assertEqual(names["KEYS"], {**LISTS["representations"], **own})
        methods = {"_repr_e2b_data_": "e2b/data", "_repr_e2b_chart_": "e2b/chart"}
        self.assertEqual(names["METHODS"], {**LISTS["display_methods"], **methods})

    def test_both_native_tiers_identify_a_processor_by_the_same_fields(self):
        rust = (SANDBOXES / "native" / "src" / "processor.rs").read_text()
        fields = re.search(r"^const FIELDS: .*? = \[(.*?)\];", rust, re.MULTILINE | re.DOTALL).group(1)
        script = ast.parse((SANDBOXES / "e2b" / "src" / "check_template.py").read_text())
        sets = [ast.literal_eval(node) for node in ast.walk(script) if isinstance(node, ast.Set)]
        self.assertEqual(sets, [set(re.findall(r'"(.*?)"', fields))])


if __name__ == "__main__":
    unittest.main()
