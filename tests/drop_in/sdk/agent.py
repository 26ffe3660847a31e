"""Runs an agent of smolagents whose code runs in a sandbox, with scripted answers of the model.

    E2B_API_KEY=… E2B_API_URL=http://… E2B_SANDBOX_URL=http://… python3 agent.py > transcript

Packages: smolagents==1.26.0 e2b==2.63.0 e2b-code-interpreter==2.11.5.

The first cell of every agent is `!pip install numpy pillow`, in any order; the second one, which defines the tools, imports
both: smolagents generates this for its `final_answer`. The packages come from the network or from a folder of wheels:

    python3 -m pip download --dest wheels numpy pillow idna     # for the Python of the sandboxes
    AGENT_WHEELS=$PWD/wheels … python3 agent.py > transcript    # not under /tmp, which each sandbox has of its own

Each line has `step` and `result`, as those of python.py. Every cell that the executor sends is recorded with the start and a
digest of its code; `code`, `traceback` and `logs` are for readers. The script asserts the final answers.
"""

import datetime
import decimal
import faulthandler
import hashlib
import json
import os
import re
import sys
import time
import warnings

# smolagents writes imports in the order of a set. With a fixed hash seed its code is the same on each run.
if os.environ.get("PYTHONHASHSEED") != "0":
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
warnings.filterwarnings("ignore")

import e2b_code_interpreter
from smolagents import CodeAgent, tool
from smolagents.memory import ActionStep
from smolagents.models import ChatMessage, MessageRole, Model
from smolagents.monitoring import LogLevel

WHEELS = os.environ.get("AGENT_WHEELS")
ENVS = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": WHEELS} if WHEELS else {}
FORMS = [
    (re.compile(r"\bi[a-z0-9]{20}\b"), "<sandbox>"),
    (re.compile(r"\b0x[0-9a-f]{5,}"), "<address>"),
    (re.compile(r"/tmp/ipykernel_\d+/\d+\.py"), "<cell>"),
    (re.compile(r"\(\d+\.py, line"), "(<cell>, line"),
    (re.compile(r"\S*interactiveshell\.py:\d+"), "interactiveshell.py"),
]


def normalized(value):
    if isinstance(value, str):
        for form, name in FORMS:
            value = form.sub(name, value)
        return value
    if isinstance(value, dict):
        return {key: normalized(item) for key, item in value.items()}
    return [normalized(item) for item in value] if isinstance(value, (list, tuple)) else value


def record(step, result, **details):
    print(json.dumps({"step": step, "result": normalized(result), **normalized(details)}, ensure_ascii=False), flush=True)


class ScriptedModel(Model):
    """A model that returns the given answers one after the other, independent of its input."""

    def __init__(self, name, answers):
        super().__init__(model_id="scripted")
        self.name, self.answers, self.count = name, answers, 0

    def generate(self, messages, **_):
        code = self.answers[self.count]
        self.count += 1
        content = f"Thought: step {self.count}.\n<code>\n{code}\n</code>"
        return ChatMessage(role=MessageRole.ASSISTANT, content=content)


class RecordingSandbox(e2b_code_interpreter.Sandbox):
    """The sandbox of the SDK. It records each cell."""

    chapter = ""
    cells = 0

    def run_code(self, code, *arguments, **named):
        execution = super().run_code(code, *arguments, **named)
        type(self).cells += 1
        seen = {
            "start": code.strip().split("\n")[0][:100],
            "length": len(code),
            "sha256": hashlib.sha256(code.encode()).hexdigest()[:16],
            "count": execution.execution_count,
            "stdout": "".join(execution.logs.stdout),
            "stderr": "".join(execution.logs.stderr),
            "results": [[one.is_main_result, one.text, list(one.formats())] for one in execution.results],
            "error": execution.error and [execution.error.name, execution.error.value],
        }
        details = {"traceback": execution.error.traceback} if execution.error else {}
        if code.startswith("!pip install "):
            # The packages are in the order of a set. The output of pip depends on its version and on what was installed.
            seen["start"] = "!pip install " + " ".join(sorted(code.split()[2:]))
            details["logs"] = seen.pop("stdout") + seen.pop("stderr")
            del seen["sha256"]
        record(f"{self.chapter}: cell {self.cells}", seen, code=code, **details)
        return execution

    def kill(self, *arguments, **named):
        killed = super().kill(*arguments, **named)
        record(f"{self.chapter}: kill", killed)
        return killed


# The executor imports the class from this module.
e2b_code_interpreter.Sandbox = RecordingSandbox


@tool
def exchange_rate(currency: str, day: int = 1) -> float:
    """Returns the price of one unit.

    Args:
        currency: Its three letters.
        day: Of the month.
    """
    import math

    rates = {"EUR": 1.25, "GBP": 1.5}
    if currency not in rates:
        raise ValueError(f"no rate for {currency}")
    return math.floor((rates[currency] + day / 100) * 100) / 100


@tool
def shout(text: str) -> str:
    """Returns the text in capitals.

    Args:
        text: The text.
    """
    return text.upper() + "!"


def run(chapter, answers, answer, tools=(), variables=None, imports=(), **named):
    RecordingSandbox.chapter, RecordingSandbox.cells = chapter, 0
    started = time.monotonic()
    model = ScriptedModel(chapter, answers)
    with CodeAgent(
        tools=list(tools),
        model=model,
        executor_type="e2b",
        executor_kwargs={"metadata": {"of": "agent"}, "timeout": 120, "envs": ENVS},
        additional_authorized_imports=list(imports),
        verbosity_level=LogLevel.OFF,
        max_steps=len(answers),
    ) as agent:
        found = agent.run(f"The task of {chapter}.", additional_args=variables, **named)
        for number, one in enumerate(one for one in agent.memory.steps if isinstance(one, ActionStep)):
            error = one.error and [type(one.error).__name__, str(one.error).strip().split("\n")[-1]]
            record(f"{chapter}: step {number + 1}", {"output": repr(one.action_output)[:500], "error": error,
                 "final": one.is_final_answer}, logs=one.observations)  # fmt: skip
    record(f"{chapter}: answer", repr(found)[:500])
    assert found == answer, f"{chapter}: {found!r} is not {answer!r}"
    print(f"{chapter}: {time.monotonic() - started:.1f} s", file=sys.stderr)


def main():
    faulthandler.dump_traceback_later(200, exit=True)
    run(
        "plain",
        [
            "numbers = [3, 1, 2]\nprint('sorted:', sorted(numbers))",
            "total = sum(numbers)\ndef half(n):\n    return n / 2\ntotal",
            "import statistics\nprint(statistics.mean(numbers), half(total))",
            'final_answer({"total": total, "half": half(total), "numbers": numbers, "ok": True})',
        ],
        {"total": 6, "half": 3.0, "numbers": [3, 1, 2], "ok": True},
    )
    run(
        "tools",
        [
            "rate = exchange_rate(currency='EUR')\nprint('rate', rate)",
            "exchange_rate('XXX')",
            "print(shout('recovered'), rate)\nprices = {c: exchange_rate(c, day=5) for c in ('EUR', 'GBP')}\nprices",
            "for c, p in prices.items():\n    print(c, p * amount)",
            "x = ",
            "print('x', 'x' in globals())\nimport sys\nsys.exit('no more')",
            "raise KeyboardInterrupt",
            "final_answer({'prices': prices, 'said': shout(word), 'amount': amount})",
        ],
        {"prices": {"EUR": 1.3, "GBP": 1.55}, "said": "HELLO!", "amount": 10},
        tools=[exchange_rate, shout],
        variables={"amount": 10, "word": "hello", "nested": {"a": [1, 2, (3, 4)]}},
    )
    run(
        "values",
        [
            "import datetime, decimal\nwhen = datetime.datetime(2026, 1, 2, 3, 4)\nprice = decimal.Decimal('1.10')",
            "import re\nwords = re.findall(r'\\w+', 'one two  three')\nlen(words)",
            "import random, collections\nrandom.seed(3)\n"
            "rolls = collections.Counter(random.randint(1, 6) for _ in range(600))\nprint(sum(rolls.values()))",
            "class Answer(Exception):\n    pass\n"
            "try:\n    raise Answer('inner')\nexcept Answer as e:\n    caught = str(e)",
            "import idna\nname = idna.encode('żółć.pl').decode()\nprint(name)",
            "final_answer((when, price, {1, 2}, b'bytes', {1: 'one'}, caught, name, 'v' * 50_000))",
        ],
        (datetime.datetime(2026, 1, 2, 3, 4), decimal.Decimal("1.10"), {1, 2}, b"bytes", {1: "one"}, "inner",
         "xn--kda4b0koi.pl", "v" * 50_000),  # fmt: skip
        # The executor installs this package first.
        imports=["idna"],
    )


try:
    main()
    end = 0
except BaseException as error:
    record("broke off", [type(error).__name__, str(error)])
    import traceback

    traceback.print_exc()
    end = 1
# The SDK's own transport sometimes aborts at the end of the interpreter (e2b 2.63.0); the transcript is complete by then.
sys.stdout.flush()
os._exit(end)
