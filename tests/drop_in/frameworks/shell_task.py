"""The task of the agents that run commands, and the turns of the scripted model that does it.

The model does the steps of shell_task.json, each in a turn of its own. The first makes a folder and a program in it, and runs it
with NumPy. The second uses the file that the first left, and fails. The third writes a program with the framework's tool for
files, where it has one. The fourth lists, reads and runs what is there, and leaves a figure. The model's answer is the number
that it reads in the last result.
"""

import json
import pathlib
import re

import task

STEPS = json.loads((pathlib.Path(__file__).parent / "shell_task.json").read_text())
FIGURE = "work/figure.png"


def next_step(results):
    """Returns `(step, None)` or `(None, answer)`, for a model that was given these results of its steps, as text."""
    for result, step in zip(results, STEPS):
        missing = [text for text in step["results"] if text not in result]
        assert not missing, f"{missing} is not in what the model was given: {result}"
    if len(results) < len(STEPS):
        return STEPS[len(results)], None
    return None, re.search(r"power: (\d+)", results[-1])[1]


def next_command(results):
    """Returns the same for a framework whose only tool runs commands: `(command, None)` or `(None, answer)`."""
    step, answer = next_step(results)
    if step and "write" in step:
        return f"cat > {step['write']} <<'END'\n{step['content']}END", None
    return step and step["run"], answer


def end(answer, figure):
    """Checks the final answer of an agent and the figure that it left, and ends the program."""
    assert bytes(figure).startswith(b"\x89PNG\r\n\x1a\n"), figure[:100]
    task.end(answer)
