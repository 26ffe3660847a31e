"""Scripts that run in E2B's kernels read and print the fields that `schema.json` lists."""

import builtins
import contextlib
import io
import json
import os
import sys
import tempfile
import types
import unittest
import unittest.mock

import package

SCRIPTS = package.PYTHON.parent / "e2b" / "src"
SCHEMA = json.loads((package.PYTHON / "schema.json").read_text())["e2b"]


def function(script, name):
    names = {}
    exec((SCRIPTS / script).read_text(), names)
    return names[name]


class Shell:
    """What the scripts use of IPython's shell."""

    def __init__(self):
        self.user_ns, self.callbacks = {}, []
        self.events = types.SimpleNamespace(register=lambda event, call: self.callbacks.append(call))

    def run(self, cell):
        """Runs a cell as the shell does."""
        for call in self.callbacks:
            call(None)
        return cell()


class Scripts(unittest.TestCase):
    def setUp(self):
        self.shell = Shell()
        builtins.get_ipython = lambda: self.shell
        self.addCleanup(delattr, builtins, "get_ipython")
        self.addCleanup(setattr, sys, "stdin", sys.stdin)

    def test_a_check_prints_the_listed_fields(self):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            function("check_template.py", "_switchtower_check_template")(["json", "nowhere.at_all", "no_such_module"])
        check = json.loads(printed.getvalue())
        self.assertEqual(list(check), SCHEMA["TemplateCheck"])
        self.assertEqual(check["missing"], ["nowhere.at_all", "no_such_module"])

    def test_a_run_reads_its_inputs_once(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "inputs")
            with unittest.mock.patch("resource.setrlimit") as limited:
                function("prelude.py", "_switchtower_prelude")(path, 0)
                with open(path, "w") as file:
                    json.dump(
                        {field: {"stdin": "one\n", "memory": 1 << 30}[field] for field in SCHEMA["RunInputs"]}, file
                    )
                self.assertEqual(self.shell.run(lambda: self.shell.user_ns["input"]()), "one")
                self.assertEqual(limited.call_count, 1)
                self.assertFalse(os.path.exists(path))
                with self.assertRaises(EOFError):
                    self.shell.run(lambda: self.shell.user_ns["input"]())

    def test_a_kept_kernel_has_its_variables_and_no_input(self):
        with tempfile.TemporaryDirectory() as folder, unittest.mock.patch.dict(os.environ):
            before = os.getcwd()
            self.addCleanup(os.chdir, before)
            function("prelude.py", "_switchtower_prelude")(os.path.join(folder, "inputs"), 0)
            function("kernel_options.py", "_switchtower_set_options")({"OWN": "1"}, folder)
            self.assertEqual((os.environ["OWN"], os.getcwd()), ("1", os.path.realpath(folder)))
            self.shell.run(lambda: None)
            self.assertNotIn("input", self.shell.user_ns)
            os.chdir(before)


if __name__ == "__main__":
    unittest.main()
