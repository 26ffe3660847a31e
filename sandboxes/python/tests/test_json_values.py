"""JSON of lists and dicts, as E2B's kernel makes it with orjson."""

import dataclasses
import datetime
import decimal
import enum
import json
import unittest
import uuid

import package

package.use("shared")
json_values = package.module("json_values")


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: float
    _hidden: int = 0


def of(value):
    text = json_values.of_container(value)
    return None if text is None else json.loads(text)


class Containers(unittest.TestCase):
    def test_keys_that_are_not_text_become_text(self):
        self.assertEqual(
            of({1: "a", None: "b", False: "c", 2.5: "d", Colour.RED: "e", datetime.date(2024, 1, 2): "f"}),
            {"1": "a", "null": "b", "false": "c", "2.5": "d", "red": "e", "2024-01-02": "f"},
        )

    def test_dates_enumerations_ids_and_dataclasses_have_json(self):
        moment = datetime.datetime(2024, 1, 2, 3, 4, 5)
        self.assertEqual(
            of([moment, datetime.time(1, 2), Colour.RED, uuid.UUID(int=1), Point(1, 2.5)]),
            ["2024-01-02T03:04:05", "01:02:00", "red", "00000000-0000-0000-0000-000000000001", {"x": 1, "y": 2.5}],
        )

    def test_numbers_that_json_has_not_are_null(self):
        self.assertEqual(of([1.5, float("nan"), float("inf")]), [1.5, None, None])

    def test_values_without_json_leave_the_whole_without(self):
        cycle = []
        cycle.append(cycle)
        for value in ([1 << 64], [decimal.Decimal(1)], {(1, 2): 3}, ["\ud800"], [{1}], [b"x"], [object], cycle):
            self.assertIsNone(of(value), value)

    def test_a_faster_encoder_is_used_where_there_is_one(self):
        json_values.encode_faster = lambda value: f'"{len(value)}"'
        self.addCleanup(setattr, json_values, "encode_faster", None)
        self.assertEqual(of([1, 2]), "2")


class Messages(unittest.TestCase):
    def test_data_of_representations_has_json_where_there_is_some_text_for_it(self):
        text = json_values.of_message({(1, 2): [b"hi", {3}, float("nan"), 1 << 63], "n": None})
        self.assertEqual(json.loads(text), {"(1, 2)": ["aGk=", [3], None, 1 << 63], "n": None})

    def test_what_has_none_is_an_error(self):
        with self.assertRaises(TypeError):
            json_values.of_message([object()])


if __name__ == "__main__":
    unittest.main()
