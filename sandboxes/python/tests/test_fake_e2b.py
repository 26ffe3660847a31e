"""The driver of the stand-in's Python kernels reads and writes the messages that `schema.json` lists."""

import json
import re
import subprocess
import sys
import unittest

import package

SCHEMA = json.loads((package.PYTHON / "schema.json").read_text())["fake_e2b_driver"]
LISTS = json.loads((package.PYTHON / "lists.json").read_text())
KERNEL = package.PYTHON.parent / "fake-e2b" / "src" / "kernel"
HOST = (KERNEL / "python.rs").read_text()
# The driver's modules in the order in which the host sends them, and the program that reads them.
DRIVER = {
    name: "".join((KERNEL / file).read_text() for file in re.findall(r'include_str!\("([./\w]+\.py)"\)', files))
    for name, files in re.findall(r'"(_switchtower_kernel[.\w]*)",((?:(?!"_switchtower).)*)', HOST, re.DOTALL)
}
BOOTSTRAP = re.search(r'BOOTSTRAP: &str = "(.*?)";', HOST, re.DOTALL).group(1)

TYPES = {list: "array", type(None): "null", str: "string", dict: "object", int: "integer", bool: "boolean"}
SETUP = {"type": "setup", "modules": None, "root": None, "language": "python"}


def wire():
    """Returns the names of `driver/wire.py`."""
    names = {}
    exec((KERNEL / "driver" / "wire.py").read_text(), names)
    return names


class Driver:
    """A driver in a process of its own."""

    def __init__(self, test):
        parts = [f"{name}:{len(source.encode())}" for name, source in DRIVER.items()]
        command = [sys.executable, "-c", BOOTSTRAP, *parts]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        test.addCleanup(self.close)
        self.process.stdin.write("".join(DRIVER.values()).encode())

    def close(self):
        self.process.kill()
        self.process.communicate()

    def send(self, request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self):
        """Returns the next answer, or None when the driver has ended."""
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def run(self, code):
        """Returns the rows of a cell and the type of the answer after them."""
        self.send({"type": "run", "code": code, "env": {}})
        rows = []
        while (answer := self.answer())["type"] == "row":
            rows.append(json.loads(answer["row"]))
        return rows, answer["type"]


class Messages(unittest.TestCase):
    def test_the_messages_have_the_listed_fields(self):
        names = wire()
        for group, kinds in (("requests", names["REQUESTS"]), ("answers", names["ANSWERS"])):
            fields = {
                kind: {name: [TYPES[one] for one in types] for name, types in fields.items()}
                for kind, fields in kinds.items()
            }
            self.assertEqual(fields, SCHEMA[group])

    def test_a_message_with_a_field_more_or_less_or_of_another_type_is_refused(self):
        names = wire()
        run = {"type": "run", "code": "1", "env": {}}
        names["check_message"](run, names["REQUESTS"])
        wrong = [
            {**run, "further": 1},
            {"type": "run", "code": "1"},
            {**run, "code": None},
            {**run, "type": "stop"},
            {},
        ]
        for message in wrong:
            with self.assertRaises((ValueError, TypeError), msg=message):
                names["check_message"](message, names["REQUESTS"])

    def test_a_driver_ends_at_a_request_that_it_does_not_know(self):
        driver = Driver(self)
        driver.send({**SETUP, "further": 1})
        self.assertIsNone(driver.answer())
        driver = Driver(self)
        driver.send(SETUP)
        self.assertEqual(driver.answer(), {"type": "ready"})
        driver.send({"type": "interrupt", "further": 1})
        self.assertIsNone(driver.answer())

    def test_rows_have_the_listed_fields(self):
        driver = Driver(self)
        driver.send(SETUP)
        self.assertEqual(driver.answer(), {"type": "ready"})
        code = "import sys\nprint(1)\nsys.stdout.flush()\nprint(2, file=sys.stderr)\ndisplay([float('nan')])\n1 / 0"
        rows, end = driver.run(code)
        self.assertEqual(end, "done")
        representations = {*LISTS["representations"].values(), "data", "chart"}
        fields = {}
        for row in rows:
            kind = row.pop("type")
            of_result = {name for name in row if kind == "result" and name in representations}
            fields[kind] = {name: [TYPES[type(row[name])]] for name in row if name not in of_result}
        self.assertEqual(fields, SCHEMA["rows"])
        self.assertEqual(driver.run("exit()"), ([{"type": "number_of_executions", "execution_count": 2}], "done"))

    def test_context_variables_stay_from_cell_to_cell_but_for_cells_that_await(self):
        driver = Driver(self)
        driver.send(SETUP)
        driver.answer()
        driver.run("import asyncio, contextvars\nv = contextvars.ContextVar('v')\nv.set(1)")
        driver.run("v.set(v.get() + 1)\nawait asyncio.sleep(0)")
        rows, _ = driver.run("v.get()")
        self.assertEqual(rows[-1]["text"], "1")

    def test_a_cell_that_replaces_functions_of_python_does_not_break_the_driver(self):
        driver = Driver(self)
        driver.send(SETUP)
        driver.answer()
        driver.run("import json, os, signal\njson.dumps = json.loads = os.read = os.write = signal.signal = None")
        rows, end = driver.run("print(1)\n[2]")
        self.assertEqual((end, rows[1]["text"], rows[-1]["text"], rows[-1]["json"]), ("done", "1\n", "[2]", [2]))


if __name__ == "__main__":
    unittest.main()
