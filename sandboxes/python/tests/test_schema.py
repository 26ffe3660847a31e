"""The types of what crosses between Rust and Python have the fields that `schema.json` lists."""

import json
import typing
import unittest

import package

SCHEMA = json.loads((package.PYTHON / "schema.json").read_text())


class Fields(unittest.TestCase):
    def test_the_json_of_a_state_transfer_has_the_listed_fields(self):
        package.use("transfer")
        schema = package.module("state_transfer.schema")
        types = {name: kind for name, kind in vars(schema).items() if typing.is_typeddict(kind)}
        listed = SCHEMA["state_transfer"]
        self.assertEqual(types.keys(), listed.keys())
        for name, kind in types.items():
            hints = typing.get_type_hints(kind, include_extras=True)
            optional = {key for key, hint in hints.items() if typing.get_origin(hint) is typing.NotRequired}
            optional |= set() if kind.__total__ else set(hints)
            self.assertEqual(sorted(optional), sorted(listed[name]["optional"]), name)
            self.assertEqual(sorted(set(hints) - optional), sorted(listed[name]["required"]), name)

    def test_the_tuples_of_the_native_worker_have_the_listed_fields(self):
        package.use("native")
        schema = package.module("schema")
        tuples = {name: list(kind._fields) for name, kind in vars(schema).items() if hasattr(kind, "_fields")}
        self.assertEqual(tuples, SCHEMA["native_worker"])


if __name__ == "__main__":
    unittest.main()
