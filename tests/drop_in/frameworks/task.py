"""The task of the agents, and the turns of the scripted model that does it.

The model runs the three cells of task.json, each in a turn of its own. The first imports NumPy, after an installation of it in
the form that the script of a framework gives. The second uses what the first left and raises. The third uses what the second
made before it raised, and ends with a value. The model's answer is the number that it reads in the last result.
"""

import json
import os
import pathlib
import re
import sys

CELLS = json.loads((pathlib.Path(__file__).parent / "task.json").read_text())


def next_turn(results, install=""):
    """Returns `(cell, None)` or `(None, answer)`, for a model that was given these results of its cells, as text."""
    for result, cell in zip(results, CELLS):
        assert cell["result"] in result, f"{cell['result']!r} is not in what the model was given: {result}"
    if len(results) < len(CELLS):
        return ("" if results else install) + CELLS[len(results)]["code"], None
    return None, re.search(r"\d{6,}", results[-1])[0]


def end(answer):
    """Checks the final answer of an agent, and ends the program without waiting for threads of the packages."""
    assert CELLS[-1]["result"] in str(answer), repr(answer)
    print("all right")
    sys.stdout.flush()
    os._exit(0)
