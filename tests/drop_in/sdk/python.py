"""Drives E2B's Python SDK through all its functions and writes a transcript: one JSON object per line.

    E2B_API_KEY=… E2B_API_URL=http://… E2B_SANDBOX_URL=http://… python3 python.py > transcript
    … python3 python.py state errors > transcript       # these chapters only

Packages: e2b==2.63.0 e2b-code-interpreter==2.11.5. The server at these addresses must accept only the key of E2B_API_KEY: a
wrong one is tried too.

Each line has `step` and `result`. `result` is the same wherever a program ran: ids, addresses, times and paths of temporary
files are replaced by placeholders such as <sandbox>. `traceback` and `message` are for readers only: frames and the wording
of refusals may differ.

Chapters whose sandboxes can stay local come first. Each chapter has a sandbox of its own, because a session that was once
promoted to the cloud stays there.
"""

import asyncio
import faulthandler
import hashlib
import io
import json
import os
import re
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
import uuid

from e2b.sandbox.commands.command_handle import CommandExitException
from e2b.exceptions import TimeoutException
from e2b_code_interpreter import AsyncSandbox, Context, Sandbox, SandboxQuery, SandboxState

# The time limit of a cell in seconds, except in steps about time limits.
TIMEOUT_S = 30
# Seconds to wait after a time limit was reached. E2B's server loses a cell that arrives while it interrupts the one before it.
PAUSE_S = float(os.environ.get("DROP_IN_PAUSE_S", "0"))
# Distinguishes the sandboxes of this run from those of others.
RUN = str(uuid.uuid4())
CHAPTERS = {}

# ── The transcript ────────────────────────────────────────────────────────────────────────────────────────────────────

placeholders = {}
FORMS = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\b0x[0-9a-f]{5,}"), "<address>"),
    (re.compile(r"/tmp/ipykernel_\d+/\d+\.py"), "<cell>"),
    (re.compile(r"\(\d+\.py, line"), "(<cell>, line"),
    (re.compile(r"\S*interactiveshell\.py:\d+"), "interactiveshell.py"),
    (re.compile(r"signature=[\w%-]+"), "signature=<signature>"),
    (re.compile(r"signature_expiration=\d+"), "signature_expiration=<time>"),
    # From Python 3.13 on this one has a type of its own.
    (re.compile("_IncompleteInputError"), "SyntaxError"),
    # The rest of these messages depends on the version and the location of Python.
    (re.compile(r"maximum recursion depth exceeded.*"), "maximum recursion depth exceeded"),
    (re.compile(r"(cannot import name '\w+' from '\w+') \(.*\)"), r"\1"),
]


def normalized(value):
    """Returns a value with placeholders for what differs between runs."""
    if isinstance(value, str):
        for text, name in placeholders.items():
            value = value.replace(text, name)
        for form, name in FORMS:
            value = form.sub(name, value)
        return value
    if isinstance(value, dict):
        return {normalized(key): normalized(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [normalized(item) for item in value]
    return value


def record(step, result, **details):
    line = {"step": step, "result": normalized(result), **normalized(details)}
    print(json.dumps(line, ensure_ascii=False), flush=True)


def refusal(error):
    result = {"raises": type(error).__name__}
    if isinstance(error, CommandExitException):
        result.update(exit_code=error.exit_code, stdout=error.stdout, stderr=error.stderr, error=error.error)
    return result


def step(name, function, *arguments, **named):
    """Records what a call returns or raises."""
    try:
        result = function(*arguments, **named)
    except Exception as error:
        record(name, refusal(error), message=str(error))
        return None
    record(name, result)
    return result


def digest(text):
    return {"length": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()[:16]}


def describe_result(result):
    fields = {name: getattr(result, name) for name in ("text", "html", "markdown", "svg", "png", "jpeg", "pdf", "latex",
              "json", "javascript", "data", "chart", "extra")}  # fmt: skip
    return {"main": result.is_main_result, **{name: value for name, value in fields.items() if value not in (None, {})}}


def describe_error(error):
    # The parts of a traceback are joined with or without line breaks.
    text = re.sub(r"^-{75}|(?<=\(most recent call last\))", r"\g<0>\n", error.traceback)
    lines = [line for line in text.split("\n") if line.strip()] or [""]
    seen = {"name": error.name, "value": error.value, "first": lines[0], "last": lines[-1]}
    return {**seen, "cell": "Cell In[" in error.traceback}


def describe_execution(execution):
    seen = {"count": execution.execution_count}
    # The number of pieces of the output depends on timing.
    for name, pieces in (("stdout", execution.logs.stdout), ("stderr", execution.logs.stderr)):
        if pieces:
            seen[name] = "".join(pieces)
    if execution.results:
        seen["results"] = [describe_result(result) for result in execution.results]
    if execution.error:
        seen["error"] = describe_error(execution.error)
    return seen


def record_execution(name, execution, brief=False):
    seen = describe_execution(execution)
    if brief:
        for kind in ("stdout", "stderr"):
            if kind in seen:
                seen[kind] = digest(seen[kind])
        for result in seen.get("results", []):
            result["text"] = digest(result["text"])
    record(name, seen, **({"traceback": execution.error.traceback} if execution.error else {}))
    return execution


def run(name, sandbox, code, brief=False, **named):
    """Runs a cell and records its execution."""
    named.setdefault("timeout", TIMEOUT_S)
    try:
        execution = sandbox.run_code(code, **named)
    except Exception as error:
        record(name, refusal(error), message=str(error))
        if isinstance(error, TimeoutException):
            time.sleep(PAUSE_S)
        return None
    return record_execution(name, execution, brief)


def merged(events):
    """Returns the events with consecutive pieces of one stream joined."""
    all = []
    for kind, text in events:
        if all and all[-1][0] == kind and kind in ("stdout", "stderr"):
            all[-1][1] += text
        else:
            all.append([kind, text])
    return all


class Listener:
    """Collects the arguments of callbacks in their order."""

    def __init__(self):
        self.events, self.kinds, self.times = [], set(), []

    def callback(self, kind, text):
        def callback(message):
            self.times.append(time.monotonic())
            self.kinds.add(type(message).__name__)
            self.events.append([kind, text(message)])

        return callback

    def callbacks(self):
        return dict(
            on_stdout=self.callback("stdout", lambda message: message.line),
            on_stderr=self.callback("stderr", lambda message: message.line),
            on_result=self.callback("result", lambda result: result.text),
            on_error=self.callback("error", lambda error: error.name),
        )

    def merged_events(self):
        return merged(self.events)


def create_sandbox(*arguments, **named):
    named.setdefault("metadata", {"run": RUN})
    named.setdefault("timeout", 300)
    sandbox = Sandbox.create(*arguments, **named)
    placeholders[sandbox.sandbox_id] = "<sandbox>"
    return sandbox


def chapter(function=None, **creation):
    """Registers a chapter. It runs with a sandbox of its own, which ends with it."""

    def register(function):
        CHAPTERS[function.__name__] = (function, creation)
        return function

    return register(function) if function else register


# ── Cells that stay local ─────────────────────────────────────────────────────────────────────────────────────────────


@chapter
def state(sandbox):
    run("state: assign", sandbox, "x = 41")
    run("state: print and a last expression", sandbox, "print('out')\nx + 1")
    run("state: several names", sandbox, "a, b = 1, [2]\nb.append(a)\n(a, b)")
    run("state: function", sandbox, "def twice(n):\n    return n * 2")
    run("state: function is there", sandbox, "twice(x)")
    run("state: class", sandbox, "class Point:\n    def __init__(self, x):\n        self.x = x\np = Point(3)")
    run("state: class is there", sandbox, "p.x, isinstance(p, Point)")
    run("state: import", sandbox, "import math, json as j\nfrom collections import Counter")
    run("state: import is there", sandbox, "j.dumps([math.floor(2.5), Counter('aab').most_common(1)])")
    run("state: None is no result", sandbox, "None")
    run("state: semicolon hides", sandbox, "x;")
    run("state: semicolon between", sandbox, "y = 1; y + 1")
    run("state: semicolon before a comment", sandbox, "x;  # hidden")
    run("state: last statement is no expression", sandbox, "x\nz = 1")
    run("state: only the last expression", sandbox, "1\n2\n3")
    run("state: expression in a block", sandbox, "if True:\n    5")
    run("state: underscore", sandbox, "6 * 7")
    run("state: underscore is there", sandbox, "_")
    run("state: two underscores", sandbox, "1\n")
    run("state: two underscores are there", sandbox, "(_, __)")
    run("state: Out", sandbox, "Out[2], type(Out).__name__")
    run("state: In", sandbox, "In[1], len(In)")
    run("state: generator goes on", sandbox, "g = (n * n for n in range(10))\nnext(g), next(g)")
    run("state: generator went on", sandbox, "next(g)")
    run("state: iterator and closure", sandbox, "def counter():\n    n = 0\n    def up():\n        nonlocal n\n"
        "        n += 1\n        return n\n    return up\nup = counter()\nup()")  # fmt: skip
    run("state: closure went on", sandbox, "up()")
    run("state: delete", sandbox, "del x")
    run("state: deleted", sandbox, "x")
    run("state: error keeps what was before it", sandbox, "kept = 1\n1 / 0\nlost = 2")
    run("state: kept, not lost", sandbox, "kept, 'lost' in globals()")
    run("state: name and main", sandbox, "__name__")
    run("state: seeded chance", sandbox, "import random\nrandom.seed(7)\n[random.randint(0, 99) for _ in range(5)]")
    run("state: chance goes on", sandbox, "random.randint(0, 10**6)")
    run("state: dataclass and match", sandbox, "from dataclasses import dataclass\n@dataclass\nclass D:\n    n: int\n"
        "match D(4):\n    case D(n=n):\n        print(n)\nD(5)")  # fmt: skip
    run("state: monkeypatch", sandbox, "math.tau = 6\nmath.answer = 42")
    run("state: monkeypatched", sandbox, "import math\nmath.tau, math.answer")
    run("state: cwd", sandbox, "import os\nos.getcwd()")
    run("state: exceptions by hand", sandbox, "try:\n    {}['k']\nexcept KeyError as e:\n    caught = repr(e)\ncaught")


VALUES = {
    "int": "12",
    "negative": "-3",
    "big int": "2 ** 200",
    "bool": "True",
    "float": "0.1 + 0.2",
    "floats at the edge": "float('nan'), float('inf'), 1e300, 1e-7, 1.0",
    "complex": "1 + 2j",
    "str": "'a string'",
    "empty str": "''",
    "str of quotes": "'it\\'s \"so\"'",
    "str of lines": "'a\\nb\\tc'",
    "str of quoted text": "'\"quoted\"'",
    "bytes": "b'ab\\x00\\xff'",
    "bytearray": "bytearray(b'ab')",
    "list": "[1, 'two', 3.0, None, True]",
    "empty list": "[]",
    "nested list": "[[1, [2, [3]]], []]",
    "dict": "{'a': 1, 'b': [1, 2]}",
    "empty dict": "{}",
    "dict of numbers": "{1: 'a', 2: 'b'}",
    "dict of tuples": "{(1, 2): 'a'}",
    "dict with objects": "{'a': {1, 2}}",
    "tuple": "(1, 'a')",
    "tuple of one": "(1,)",
    "empty tuple": "()",
    "set": "{3, 1, 2}",
    "empty set": "set()",
    "frozenset": "frozenset([2, 1])",
    "range": "range(5)",
    "slice": "slice(1, 2)",
    "ellipsis": "...",
    "long list of numbers": "list(range(60))",
    "very long list": "list(range(1500))",
    "long list of strings": "['word number %d' % n for n in range(12)]",
    "long dict": "{'key %d' % n: 'value %d' % n for n in range(12)}",
    "nested long dict": "{'outer': {'inner %d' % n: list(range(n)) for n in range(12)}}",
    "records": "[{'name': 'n%d' % n, 'score': n * 1.5, 'tags': ['a', 'b']} for n in range(5)]",
    "long tuple": "tuple('word number %d' % n for n in range(12))",
    "long set": "set(range(100, 160))",
    "long str": "'word ' * 100",
    "instance": "class C:\n    pass\nC()",
    "instance with repr": "class R:\n    def __repr__(self):\n        return 'R()'\nR()",
    "list of instances": "[R(), R()]",
    "repr of lines": "class L:\n    def __repr__(self):\n        return 'one\\ntwo'\nL()",
    "repr that fails": "class B:\n    def __repr__(self):\n        raise ValueError('no repr')\nB()",
    "function": "def f(x, y=1):\n    return x\nf",
    "lambda": "lambda x: x",
    "builtin function": "len",
    "method": "'a'.upper",
    "type": "int",
    "own type": "C",
    "module": "import math\nmath.__name__",
    "generator": "type((n for n in []))",
    "exception": "ValueError('no good')",
    "exception of two": "OSError(2, 'No such file')",
    "datetime": "import datetime\ndatetime.datetime(2026, 1, 2, 3, 4, 5)",
    "date": "datetime.date(2026, 1, 2)",
    "timedelta": "datetime.timedelta(days=1, hours=2)",
    "aware datetime": "datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)",
    "Decimal": "from decimal import Decimal\nDecimal('1.10') + 1",
    "Fraction": "from fractions import Fraction\nFraction(1, 3) + Fraction(1, 6)",
    "Path": "from pathlib import PurePosixPath\nPurePosixPath('/a') / 'b'",
    "UUID": "import uuid\nuuid.UUID(int=5).int",
    "Counter": "from collections import Counter\nCounter('abracadabra')",
    "OrderedDict": "from collections import OrderedDict\nOrderedDict(a=1, b=2)",
    "defaultdict": "from collections import defaultdict\nd = defaultdict(list)\nd['a'].append(1)\nd",
    "deque": "from collections import deque\ndeque([1, 2], maxlen=3)",
    "namedtuple": "from collections import namedtuple\nnamedtuple('P', 'x y')(1, 2)",
    "dataclass": "from dataclasses import dataclass\n@dataclass\nclass D:\n    a: int\n    b: str = 'x'\nD(1)",
    "enum": "import enum\nclass E(enum.Enum):\n    A = 1\nE.A",
    "regex match": "import re\nre.match('(a)(b)', 'abc').groups()",
    "recursive list": "l = [1]\nl.append(l)\nl",
    "subclass of list": "class MyList(list):\n    pass\nMyList([1, 2])",
    "subclass of dict": "class MyDict(dict):\n    pass\nMyDict(a=1)",
    "subclass of str": "class MyStr(str):\n    pass\nMyStr('s')",
    "NotImplemented": "NotImplemented",
    "json": "import json\njson.dumps({'a': [1, None, True]}, indent=1)",
    "unicode": "'żółć 日本 🐍'",
    "unicode in a dict": "{'ключ': 'знач', '🐍': ['é']}",
}


@chapter
def values(sandbox):
    for name, code in VALUES.items():
        run(f"values: {name}", sandbox, code)


@chapter
def streams(sandbox):
    run("streams: stdout", sandbox, "print('a', 1, sep='-')\nprint('no newline', end='')")
    run("streams: stderr", sandbox, "import sys\nprint('oops', file=sys.stderr)")
    run("streams: write", sandbox, "sys.stdout.write('written\\n')")
    run("streams: flush", sandbox, "print('flushed', flush=True); sys.stdout.flush()")
    run("streams: carriage return", sandbox, "print('10%\\r20%\\rdone')")
    run("streams: empty lines", sandbox, "print()\nprint('\\n')")
    run("streams: unicode", sandbox, "print('żółć 日本 🐍 \\u0000 end')")
    run("streams: json in text", sandbox, "print('{\"type\": \"end_of_execution\"}')")
    run("streams: warnings", sandbox, "import warnings\nwarnings.simplefilter('always')\n"
        "import io, contextlib\nwith contextlib.redirect_stderr(io.StringIO()) as f:\n    warnings.warn('careful')\n"
        "'careful' in f.getvalue()")  # fmt: skip
    run("streams: redirected", sandbox, "with contextlib.redirect_stdout(io.StringIO()) as f:\n    print('in')\n"
        "f.getvalue()")  # fmt: skip
    run("streams: logging", sandbox, "import logging\nlog = logging.getLogger('t')\n"
        "log.addHandler(logging.StreamHandler(sys.stdout))\nlog.warning('logged')")  # fmt: skip
    run("streams: isatty", sandbox, "sys.stdout.isatty()")
    run("streams: pprint", sandbox, "from pprint import pprint\npprint({'b': list(range(40)), 'a': 1})")
    run("streams: help", sandbox, "def documented(x):\n    'Says x.'\nprint(documented.__doc__)")
    run("streams: 200 kB in one print", sandbox, "print('x' * 200_000)", brief=True)
    run("streams: 5000 lines", sandbox, "for n in range(5000):\n    print('line', n)", brief=True)
    run("streams: 100 kB of stderr", sandbox, "print('e' * 100_000, file=sys.stderr)", brief=True)
    run("streams: 300 kB result", sandbox, "'r' * 300_000", brief=True)
    listener = Listener()
    # E2B's kernel gathers each stream for 0.2 s by itself: without the flushes the order is that of its timers.
    run("streams: callbacks", sandbox, "print(1, flush=True)\nprint(2, file=sys.stderr, flush=True)\nprint(3, flush=True)\n"
        "display(4)\nprint(5, flush=True)\n1/0", **listener.callbacks())  # fmt: skip
    record("streams: order of callbacks", [listener.merged_events(), sorted(listener.kinds)])
    listener = Listener()
    run("streams: over time", sandbox, "import time\nfor n in range(4):\n    print(n)\n    time.sleep(0.25)\n'end'",
        **listener.callbacks())  # fmt: skip
    record("streams: as it goes", [listener.merged_events(), listener.times[-1] - listener.times[0] > 0.4])
    listener = Listener()
    run("streams: main result is called back", sandbox, "display('shown')\n'last'", **listener.callbacks())
    record("streams: results in order", listener.merged_events())


PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@chapter
def displays(sandbox):
    run("displays: display", sandbox, "display(1)\ndisplay('two', [3])")
    run("displays: display and a last expression", sandbox, "display({'a': 1})\n{'b': 2}")
    run("displays: display of None", sandbox, "display(None)")
    run("displays: imported", sandbox, "from IPython.display import display, HTML, Markdown, JSON, SVG, Latex\n"
        "from IPython.display import Javascript")  # fmt: skip
    run("displays: HTML", sandbox, "display(HTML('<b>b</b>'))")
    run("displays: HTML as the last expression", sandbox, "HTML('<i>i</i>')")
    run("displays: Markdown", sandbox, "Markdown('# head')")
    run("displays: JSON", sandbox, "JSON({'a': [1, 2]})")
    run("displays: SVG", sandbox, "SVG('<svg xmlns=\"http://www.w3.org/2000/svg\"></svg>')")
    run("displays: Latex", sandbox, "Latex('$x^2$')")
    run("displays: Javascript", sandbox, "Javascript('alert(1)')")
    run("displays: Image", sandbox, f"import base64\nfrom IPython.display import Image\n"
        f"Image(data=base64.b64decode('{PNG}'))")  # fmt: skip
    run("displays: _repr_html_", sandbox, "class H:\n    def _repr_html_(self):\n        return '<p>h</p>'\n"
        "    def __repr__(self):\n        return 'H!'\nH()")  # fmt: skip
    run("displays: several representations", sandbox, "class S:\n"
        "    def _repr_html_(self):\n        return '<p>h</p>'\n"
        "    def _repr_markdown_(self):\n        return '*m*'\n    def _repr_latex_(self):\n        return '$l$'\n"
        "    def _repr_json_(self):\n        return {'j': 1}\n    def _repr_svg_(self):\n        return '<svg/>'\n"
        "    def __repr__(self):\n        return 'S!'\nS()")  # fmt: skip
    run("displays: _repr_mimebundle_", sandbox, "class M:\n"
        "    def _repr_mimebundle_(self, include=None, exclude=None):\n"
        "        return {'text/plain': 'plain', 'application/x-own': {'k': 1}}\nM()")  # fmt: skip
    run("displays: raw", sandbox, "display({'text/html': '<u>u</u>', 'text/plain': 'u'}, raw=True)")
    run("displays: between prints", sandbox, "print('before')\ndisplay(HTML('<hr>'))\nprint('after')")
    run("displays: in a function", sandbox, "def show():\n    display(Markdown('*f*'))\nshow()")


@chapter
def errors(sandbox):
    run("errors: ZeroDivisionError", sandbox, "1 / 0")
    run("errors: after output", sandbox, "print('so far')\nint('x')")
    run("errors: after a display", sandbox, "display(1)\n[][5]")
    run("errors: NameError", sandbox, "undefined_name")
    run("errors: TypeError", sandbox, "'a' + 1")
    run("errors: AttributeError", sandbox, "(1).nothing")
    run("errors: KeyError", sandbox, "{}['missing']")
    run("errors: FileNotFoundError", sandbox, "open('/tmp/no/such/file')")
    run("errors: ModuleNotFoundError", sandbox, "import not_a_module_at_all")
    run("errors: ImportError", sandbox, "from math import nothing_such")
    run("errors: AssertionError", sandbox, "assert 1 == 2, 'they differ'")
    run("errors: bare assert", sandbox, "assert 1 == 2")
    run("errors: StopIteration", sandbox, "next(iter([]))")
    run("errors: UnicodeDecodeError", sandbox, "b'\\xff'.decode()")
    run("errors: SyntaxError", sandbox, "def")
    run("errors: SyntaxError on the second line", sandbox, "x = 1\ny = = 2")
    run("errors: nothing of such a cell ran", sandbox, "'x' in globals()")
    run("errors: unclosed bracket", sandbox, "f = (1,")
    run("errors: unclosed string", sandbox, "s = 'abc")
    run("errors: print without brackets", sandbox, "print 'x'")
    run("errors: IndentationError", sandbox, "x = 1\n  y = 2")
    run("errors: return outside", sandbox, "return 1")
    run("errors: SyntaxError of eval", sandbox, "eval('1 +')")
    run("errors: custom", sandbox, "class Mine(Exception):\n    pass\nraise Mine('so', 1)")
    run("errors: custom with a text", sandbox, "class Told(Exception):\n"
        "    def __str__(self):\n        return 'as told'\nraise Told(1)")  # fmt: skip
    run("errors: without a text", sandbox, "raise ValueError")
    run("errors: of lines", sandbox, "raise ValueError('one\\ntwo')")
    run("errors: unicode", sandbox, "raise ValueError('żółć 🐍')")
    run("errors: text that fails", sandbox, "class Bad(Exception):\n    def __str__(self):\n        raise ValueError\n"
        "raise Bad()")  # fmt: skip
    run("errors: cause", sandbox, "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n"
        "    raise ValueError('because') from e")  # fmt: skip
    run("errors: context", sandbox, "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError('while')")
    run("errors: suppressed", sandbox, "try:\n    1 / 0\nexcept ZeroDivisionError:\n"
        "    raise ValueError('alone') from None")  # fmt: skip
    run("errors: function", sandbox, "def divide(a, b):\n    return a / b")
    run("errors: in a function of an earlier cell", sandbox, "divide(1, 0)")
    run("errors: deep", sandbox, "def outer(n):\n    return divide(n, 0) if n == 0 else outer(n - 1)\nouter(3)")
    run("errors: in a comprehension", sandbox, "[1 / n for n in (1, 0)]")
    run("errors: in a library", sandbox, "import json\njson.loads('{')")
    run("errors: RecursionError", sandbox, "def forever():\n    return forever()\nforever()")
    run("errors: MemoryError", sandbox, "raise MemoryError('none left')")
    run("errors: KeyboardInterrupt", sandbox, "raise KeyboardInterrupt")
    run("errors: SystemExit", sandbox, "raise SystemExit('bye')")
    run("errors: sys.exit", sandbox, "import sys\nsys.exit(3)")
    run("errors: goes on after sys.exit", sandbox, "divide(6, 3)")
    run("errors: GeneratorExit", sandbox, "raise GeneratorExit('ge')")
    run("errors: BaseException with a long value", sandbox, "class FinalAnswerException(BaseException):\n"
        "    def __init__(self, value):\n        self.value = value\n"
        "raise FinalAnswerException('safe:' + 'v' * 500)")  # fmt: skip
    long = "class Long(BaseException):\n    pass\nraise Long('safe:' + 'v' * 100_000)"
    execution = sandbox.run_code(long, timeout=TIMEOUT_S)
    record("errors: a value of 100 kB is whole", [execution.error.name, digest(execution.error.value)])
    run("errors: ExceptionGroup", sandbox, "raise ExceptionGroup('many', [ValueError('a'), TypeError('b')])")
    run("errors: note", sandbox, "e = ValueError('noted')\ne.add_note('a note')\nraise e")
    run("errors: caught by hand", sandbox, "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n"
        "    print(traceback.format_exc().splitlines()[-1])")  # fmt: skip
    run("errors: last one is kept", sandbox, "import sys\nsys.exc_info()[0]")
    run("errors: repr of the result", sandbox, "class NoRepr:\n    def __repr__(self):\n        raise KeyError('r')\n"
        "n = NoRepr()\nprint('made')")  # fmt: skip


@chapter
def awaiting(sandbox):
    run("awaiting: await", sandbox, "import asyncio\nawait asyncio.sleep(0.01, 'awaited')")
    run("awaiting: own coroutine", sandbox, "async def work(n):\n    await asyncio.sleep(0.01)\n    return n * 2\n"
        "await work(4)")  # fmt: skip
    run("awaiting: coroutine of an earlier cell", sandbox, "x = await work(5)\nx")
    run("awaiting: gather", sandbox, "await asyncio.gather(*(work(n) for n in range(3)))")
    run("awaiting: task", sandbox, "task = asyncio.create_task(work(21))\ntask.done()")
    run("awaiting: task of an earlier cell", sandbox, "await task")
    run("awaiting: async for and with", sandbox, "async def numbers():\n    for n in range(3):\n        yield n\n"
        "class Room:\n    async def __aenter__(self):\n        return 'in'\n    async def __aexit__(self, *_):\n"
        "        print('out')\nasync with Room() as r:\n    print(r, [n async for n in numbers()])")  # fmt: skip
    run("awaiting: error", sandbox, "async def fail():\n    raise ValueError('later')\nawait fail()")
    run("awaiting: queue", sandbox, "q = asyncio.Queue()\nasync def put():\n    for n in range(3):\n"
        "        await q.put(n)\nasyncio.create_task(put())\n[await q.get() for _ in range(3)]")  # fmt: skip
    run("awaiting: wait_for", sandbox, "try:\n    await asyncio.wait_for(asyncio.sleep(5), 0.05)\n"
        "except asyncio.TimeoutError:\n    print('late')")  # fmt: skip
    run("awaiting: a loop runs", sandbox, "asyncio.get_running_loop().is_running()")
    run("awaiting: asyncio.run", sandbox, "c = work(1)\ntry:\n    asyncio.run(c)\nexcept RuntimeError as e:\n"
        "    print(e)\nfinally:\n    c.close()")  # fmt: skip
    run("awaiting: await in a function that is not async", sandbox, "def f():\n    await work(1)")


@chapter(envs={"CREATED": "yes", "BOTH": "create"})
def environment(sandbox):
    run("environment: at create", sandbox, "import os\nos.environ['CREATED'], os.getenv('BOTH')")
    run("environment: per call", sandbox, "os.environ.get('K'), os.environ.get('BOTH')",
        envs={"K": "v", "BOTH": "call"})  # fmt: skip
    run("environment: gone after the call", sandbox, "os.environ.get('K'), os.environ.get('BOTH')")
    run("environment: set in a cell", sandbox, "os.environ['SET'] = 'in a cell'")
    run("environment: set in a cell is kept", sandbox, "os.environ['SET']", envs={"K": "v"})
    run("environment: changed under a call", sandbox, "os.environ['K'] = 'changed'\nos.environ['K']", envs={"K": "v"})
    run("environment: not kept", sandbox, "os.environ.get('K')")
    run("environment: unicode", sandbox, "os.environ['U']", envs={"U": "żółć = 🐍"})
    run("environment: empty", sandbox, "os.environ['E']", envs={"E": ""})
    run("environment: of a sandbox", sandbox, "os.environ.get('E2B_SANDBOX'), os.environ['E2B_SANDBOX_ID']")
    run("environment: no key", sandbox, "'E2B_API_KEY' in os.environ")


@chapter
def odd(sandbox):
    run("odd: empty", sandbox, "")
    run("odd: blank", sandbox, "  \n\t\n")
    run("odd: comment", sandbox, "# nothing to do")
    run("odd: comments and a value", sandbox, "# before\n1\n# after")
    run("odd: indented", sandbox, "    x = 1\n    x + 1")
    run("odd: blank lines first", sandbox, "\n\n\n2 + 2\n\n")
    run("odd: windows lines", sandbox, "a = 1\r\na + 1\r\n")
    run("odd: text of lines", sandbox, '"""doc\nstring"""')
    run("odd: backslash", sandbox, "1 + \\\n2")
    run("odd: fence", sandbox, "```python\n1\n```")
    run("odd: pass", sandbox, "pass")
    run("odd: unicode names", sandbox, "größe = 3\nπ = 3.14\ngröße * π")
    run("odd: long cell", sandbox, "\n".join(f"v{n} = {n}" for n in range(2000)) + "\nsum(range(2000))")
    run("odd: deep nesting", sandbox, "len(" + "[" * 50 + "]" * 50 + ")")
    run("odd: input", sandbox, "input('name? ')")
    run("odd: exec and eval", sandbox, "exec('made = 1')\neval('made + 1')")
    run("odd: globals and locals", sandbox, "globals()['by_name'] = 5\nlocals().update({'by_locals': 6})\n"
        "by_name, by_locals")  # fmt: skip
    run("odd: locals are globals", sandbox, "locals() is globals()")
    run("odd: main", sandbox, "if __name__ == '__main__':\n    print('main')")
    run("odd: file", sandbox, "'__file__' in globals()")
    run("odd: stdin", sandbox, "import sys\nsys.stdin.read()")
    run("odd: pickle of an own class", sandbox, "import pickle\nclass K:\n    v = 3\npickle.loads(pickle.dumps(K())).v")
    run("odd: inspect", sandbox, "import inspect\ndef seen():\n    return 1\ninspect.getsource(seen)")
    run("odd: type hints and walrus", sandbox, "n: int = 3\n(m := n + 1)")
    run("odd: f-strings", sandbox, "w = 5\nf'{w=} {w:>4} {w!r}'")
    run("odd: time goes on", sandbox, "import time\nt = time.time()\ntime.sleep(0.1)\n0.09 < time.time() - t < 5")
    run("odd: today", sandbox, "import datetime\ndatetime.date.today().year > 2024")
    run("odd: counted anew", sandbox, "len(In) - 1 > 20")


@chapter
def computing(sandbox):
    run("computing: sum", sandbox, "sum(n * n for n in range(1_000_000))")
    run("computing: primes", sandbox, "def primes(n):\n    sieve = bytearray([1]) * (n + 1)\n"
        "    for i in range(2, int(n ** .5) + 1):\n        if sieve[i]:\n"
        "            sieve[i*i::i] = bytes(len(sieve[i*i::i]))\n    return sum(sieve) - 2\n"
        "primes(2_000_000)")  # fmt: skip
    run("computing: recursion", sandbox, "from functools import lru_cache\n@lru_cache(None)\ndef fib(n):\n"
        "    return n if n < 2 else fib(n - 1) + fib(n - 2)\nfib(300)")  # fmt: skip
    run("computing: permutations", sandbox, "from itertools import permutations\nlen(set(permutations('abcdefgh')))")
    run("computing: big numbers", sandbox, "len(str(3 ** 8000)), pow(3, 10**6, 10**9 + 7)")
    run("computing: sort", sandbox, "import random\nrandom.seed(1)\nsorted(random.random() for _ in range(100_000))[0]")
    run("computing: text", sandbox, "import re, hashlib\n"
        "hashlib.sha256(re.sub('a+', 'b', 'aab' * 50_000).encode()).hexdigest()")  # fmt: skip
    run("computing: statistics", sandbox, "import statistics\nstatistics.mean([1, 2, 4]), statistics.stdev([1, 2, 4])")
    run("computing: csv", sandbox, "import csv, io\nlist(csv.DictReader(io.StringIO('a,b\\n1,2\\n3,4')))")
    run("computing: sqlite or not", sandbox, "import zlib\nlen(zlib.decompress(zlib.compress(b'a' * 10_000)))")


@chapter
def late(sandbox):
    run("late: state", sandbox, "y = 5")
    run("late: sleep", sandbox, "import time\nbefore = 1\ntime.sleep(60)\nafter = 1", timeout=1)
    run("late: state is kept", sandbox, "y, before, 'after' in globals()")
    run("late: endless loop", sandbox, "n = 0\nwhile True:\n    n += 1", timeout=1)
    run("late: state is kept again", sandbox, "y, n > 0")
    listener = Listener()
    run("late: output before it", sandbox, "print('begun')\ntime.sleep(60)", timeout=1, **listener.callbacks())
    record("late: output was called back", listener.merged_events())
    run("late: awaited", sandbox, "import asyncio\nawait asyncio.sleep(60)", timeout=1)
    run("late: goes on", sandbox, "y + 1")
    run("late: without a limit", sandbox, "time.sleep(0.2)\n'slept'", timeout=0)
    run("late: swallowed interrupt", sandbox, "try:\n    time.sleep(60)\nexcept BaseException as e:\n"
        "    swallowed = type(e).__name__", timeout=1)  # fmt: skip
    run("late: swallowed", sandbox, "swallowed")


@chapter
def shared(sandbox):
    """Two handles on one sandbox."""
    run("shared: set by the first", sandbox, "common = ['first']")
    other = Sandbox.connect(sandbox.sandbox_id)
    record("shared: same id", other.sandbox_id == sandbox.sandbox_id)
    run("shared: seen by the second", other, "common.append('second')\ncommon")
    run("shared: seen by the first", sandbox, "common")
    again = sandbox.connect()
    run("shared: by its own connect", again, "len(common)")
    record("shared: id again", again.sandbox_id == sandbox.sandbox_id)


@chapter
def separate(sandbox):
    """Two sandboxes share nothing."""
    with create_sandbox() as other:
        run("separate: one", sandbox, "v = 'one'\nimport math\nmath.mark = 1")
        run("separate: other", other, "import math\n'v' in globals(), hasattr(math, 'mark')")
        run("separate: file in one", sandbox, "open('/tmp/mark', 'w').write('m')")
        run("separate: not in the other", other, "import os\nos.path.exists('/tmp/mark')")
        record("separate: ids", sandbox.sandbox_id != other.sandbox_id)


@chapter(envs={"CREATED": "yes"})
def contexts(sandbox):
    run("contexts: default one", sandbox, "z = 'default'")
    before = len(sandbox.list_code_contexts())
    context = sandbox.create_code_context(cwd="/tmp")
    placeholders[context.id] = "<context>"
    record("contexts: created", [type(context).__name__, context.id, context.language, context.cwd])
    run("contexts: cwd", sandbox, "import os\nos.getcwd()", context=context)
    run("contexts: environment", sandbox, "os.environ.get('CREATED')", context=context)
    run("contexts: own state", sandbox, "'z' in globals()", context=context)
    run("contexts: own counting", sandbox, "z = 'other'\nz", context=context)
    run("contexts: default is as it was", sandbox, "z")
    listed = sandbox.list_code_contexts()
    record("contexts: list", [len(listed) - before, [one.cwd for one in listed if one.id == context.id]])
    second = sandbox.create_code_context(language="python")
    placeholders[second.id] = "<context>"
    record("contexts: created without a folder", [second.language, second.cwd])
    run("contexts: writes a file", sandbox, "open('/tmp/between', 'w').write('it')", context=context)
    run("contexts: files are common", sandbox, "open('/tmp/between').read()", context=second)
    ends = []

    def sleep(context):
        sandbox.run_code("import time; time.sleep(0.8)", context=context, timeout=TIMEOUT_S)
        ends.append(time.monotonic())

    # One run in each, so that their interpreters are started.
    sandbox.run_code("1", context=context, timeout=TIMEOUT_S)
    started = time.monotonic()
    threads = [threading.Thread(target=sleep, args=(one,)) for one in (context, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record("contexts: two of them run side by side", [len(ends), max(ends) - started < 1.5])
    ends.clear()
    started = time.monotonic()
    threads = [threading.Thread(target=sleep, args=(context,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record("contexts: one runs one after another", [len(ends), max(ends) - started > 1.55])
    run("contexts: keeps its state", sandbox, "z", context=context)
    step("contexts: restart", sandbox.restart_code_context, context)
    run("contexts: restarted", sandbox, "'z' in globals()", context=context)
    run("contexts: restarted in its folder", sandbox, "import os\nos.getcwd()", context=context)
    step("contexts: restart by id", sandbox.restart_code_context, second.id)
    step("contexts: remove", sandbox.remove_code_context, context)
    run("contexts: removed", sandbox, "1", context=context)
    step("contexts: remove again", sandbox.remove_code_context, context)
    step("contexts: remove by id", sandbox.remove_code_context, second.id)
    record("contexts: as many as before", len(sandbox.list_code_contexts()) == before)
    unknown = Context(context_id="00000000-0000-0000-0000-000000000000", language="python", cwd="/")
    run("contexts: unknown", sandbox, "1", context=unknown)
    step("contexts: unknown is not restarted", sandbox.restart_code_context, unknown)
    run("contexts: context and language", sandbox, "1", context=unknown, language="python")
    run("contexts: language by name", sandbox, "z", language="python")
    default = sandbox.list_code_contexts()[0]
    placeholders[default.id] = "<context>"
    record("contexts: default one is first", [default.language, default.cwd])
    run("contexts: default one by its id", sandbox, "z", context=default)
    step("contexts: default one restarts", sandbox.restart_code_context, default)
    run("contexts: default one is new", sandbox, "'z' in globals()")

    def nowhere():
        context = sandbox.create_code_context(cwd="/no/such/folder")
        return [context.cwd, sandbox.run_code("import os\nos.getcwd()", context=context, timeout=TIMEOUT_S).text]

    step("contexts: no such folder", nowhere)


def describe_entry(entry):
    seen = {"name": entry.name, "path": entry.path, "type": entry.type and entry.type.value}
    # The size of a folder depends on the file system.
    if getattr(entry, "size", None) is not None and seen["type"] == "file":
        seen["size"] = entry.size
    return seen


def describe_entries(entries):
    return sorted((describe_entry(entry) for entry in entries), key=lambda seen: seen["path"])


@chapter
def files(sandbox):
    fs = sandbox.files
    step("files: write", lambda: describe_entry(fs.write("deep/er/note.txt", "hello")))
    step("files: read", fs.read, "deep/er/note.txt")
    step("files: read by its whole path", fs.read, "/home/user/deep/er/note.txt")
    run("files: a cell reads it", sandbox, "open('/home/user/deep/er/note.txt').read()")
    run("files: a cell reads it from where it is", sandbox, "open('deep/er/note.txt').read()")
    run("files: a cell writes", sandbox, "open('/tmp/made', 'wb').write(bytes(range(256)))")
    step("files: what a cell wrote", lambda: fs.read("/tmp/made", format="bytes") == bytes(range(256)))
    run("files: a cell writes beside", sandbox, "import os\nos.makedirs('out', exist_ok=True)\n"
        "with open('out/r.csv', 'w') as f:\n    print('a,b', file=f)")  # fmt: skip
    step("files: what it wrote beside", fs.read, "/home/user/out/r.csv")
    run("files: a cell opens and keeps", sandbox, "f = open('/tmp/kept', 'w')\nf.write('one ')")
    run("files: a cell goes on writing", sandbox, "f.write('two')\nf.close()")
    step("files: written over two cells", fs.read, "/tmp/kept")
    step("files: overwrite", lambda: describe_entry(fs.write("/tmp/kept", "new")))
    run("files: a cell sees it new", sandbox, "open('/tmp/kept').read()")
    step("files: bytes", lambda: describe_entry(fs.write("/tmp/b", b"\x00\xff\r\n")))
    step("files: bytes back", lambda: list(fs.read("/tmp/b", format="bytes")))
    step("files: file object", lambda: describe_entry(fs.write("/tmp/io", io.BytesIO(b"from a file"))))
    step("files: text file object", lambda: describe_entry(fs.write("/tmp/tio", io.StringIO("żółć"))))
    step("files: text back", fs.read, "/tmp/tio")
    step("files: stream", lambda: describe_entry(fs.write("streamed", iter([b"a" * 70_000, b"b"]))))
    step("files: stream back", lambda: digest(b"".join(fs.read("streamed", format="stream")).decode()))
    step("files: octet stream", lambda: describe_entry(fs.write("/tmp/octets", b"oc", use_octet_stream=True)))
    step("files: empty", lambda: [describe_entry(fs.write("/tmp/empty", "")), fs.read("/tmp/empty")])
    step("files: odd names", lambda: [describe_entry(fs.write("/tmp/a b&c=é?.txt", "odd")), fs.read("/tmp/a b&c=é?.txt")])
    step("files: 1 MB", lambda: [describe_entry(fs.write("/tmp/mega", "m" * 1_000_000)), digest(fs.read("/tmp/mega"))])
    run("files: a cell sees 1 MB", sandbox, "os.path.getsize('/tmp/mega')")
    many = [{"path": "/tmp/one", "data": "1"}, {"path": "two", "data": b"22"}, {"path": "new/three", "data": "333"}]
    step("files: several", lambda: [describe_entry(one) for one in fs.write_files(many)])
    step("files: none", fs.write_files, [])
    run("files: a cell lists", sandbox, "sorted(os.listdir('/home/user/new'))")
    step("files: list", lambda: describe_entries(fs.list("deep")))
    step("files: list to a depth", lambda: describe_entries(fs.list("deep", depth=2)))
    step("files: list home", lambda: [one.name for one in fs.list("/home/user") if not one.name.startswith(".")])
    step("files: list to depth 0", lambda: len(fs.list("deep", depth=0)))
    step("files: list what is not there", fs.list, "/tmp/nowhere")
    step("files: list a file", fs.list, "/tmp/one")
    step("files: exists", lambda: [fs.exists("two"), fs.exists("/tmp"), fs.exists("nowhere")])
    step("files: info", lambda: describe_entry(fs.get_info("two")))
    step("files: info of a folder", lambda: describe_entry(fs.get_info("deep")))
    step("files: info of what is not there", fs.get_info, "nowhere")
    step("files: rename", lambda: describe_entry(fs.rename("two", "/tmp/three")))
    step("files: renamed", lambda: [fs.exists("two"), fs.read("/tmp/three")])
    step("files: rename what is not there", fs.rename, "two", "/tmp/four")
    step("files: make a folder", fs.make_dir, "fresh/folder")
    step("files: make it again", fs.make_dir, "fresh/folder")
    run("files: a cell sees the folder", sandbox, "os.path.isdir('/home/user/fresh/folder')")
    run("files: a cell makes, renames, removes", sandbox, "os.mkdir('/tmp/d')\nopen('/tmp/d/a', 'w').close()\n"
        "os.rename('/tmp/d/a', '/tmp/d/b')\nos.remove('/tmp/three')\nos.listdir('/tmp/d')")  # fmt: skip
    step("files: as the cell left it", lambda: [fs.exists("/tmp/three"), describe_entries(fs.list("/tmp/d"))])
    step("files: remove", fs.remove, "/tmp/one")
    step("files: remove a folder", fs.remove, "deep")
    step("files: removed", lambda: [fs.exists("/tmp/one"), fs.exists("deep")])
    step("files: remove what is not there", fs.remove, "nowhere")
    step("files: read what is not there", fs.read, "nowhere")
    step("files: read a folder", fs.read, "/tmp")
    step("files: stream what is not there", fs.read, "nowhere", format="stream")
    step("files: write on a folder", fs.write, "/tmp", "x")
    step("files: with metadata", lambda: fs.write("/tmp/meta", "x", metadata={"k": "v"}).metadata)
    run("files: pathlib", sandbox, "from pathlib import Path\nPath('/tmp/p').write_text('p')\n"
        "Path('/tmp/p').read_text(), Path('/tmp/p').exists(), Path.home().name")  # fmt: skip
    run("files: temporary", sandbox, "import tempfile\nwith tempfile.NamedTemporaryFile('w+') as t:\n"
        "    t.write('x')\n    t.seek(0)\n    print(t.read(), t.name.startswith('/tmp/'))")  # fmt: skip
    run("files: module of one's own", sandbox, "open('mine.py', 'w').write('answer = 42\\n')\nimport mine\nmine.answer")
    fs.write("given.py", "def given():\n    return 'given'\n")
    run("files: module that was given", sandbox, "from given import given\ngiven()")
    run("files: json", sandbox, "import json\nwith open('/tmp/j.json', 'w') as f:\n    json.dump({'a': 1}, f)\n"
        "json.load(open('/tmp/j.json'))")  # fmt: skip


def fetch(url, headers=None, data=None):
    request = urllib.request.Request(url, headers=headers or {}, data=data)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return [answer.status, answer.read().decode()]
    except urllib.error.HTTPError as error:
        return [error.code]


@chapter
def links(sandbox):
    """Links that need no token."""
    placeholders[os.environ["E2B_SANDBOX_URL"].rstrip("/")] = "<origin>"
    to = {"E2b-Sandbox-Id": sandbox.sandbox_id, "E2b-Sandbox-Port": "49983"}
    sandbox.files.write("/tmp/linked", "linked")
    url = sandbox.download_url("/tmp/linked")
    record("links: download_url", url)
    step("links: download", fetch, url, to)
    record("links: for a while", sandbox.download_url("/tmp/linked", use_signature_expiration=60))
    step("links: download for a while", fetch, sandbox.download_url("/tmp/linked", use_signature_expiration=60), to)
    step("links: too late", fetch, sandbox.download_url("/tmp/linked", use_signature_expiration=-60), to)
    step("links: another path", fetch, url.replace("linked", "other"), to)
    step("links: without a signature", fetch, url.split("&signature")[0].split("?signature")[0], to)
    url = sandbox.upload_url("/tmp/uploaded")
    record("links: upload_url", url)
    form = (b'--edge\r\nContent-Disposition: form-data; name="file"; filename="u"\r\n'
            b"Content-Type: text/plain\r\n\r\nuploaded\r\n--edge--\r\n")  # fmt: skip
    to_form = {**to, "Content-Type": "multipart/form-data; boundary=edge"}
    step("links: upload", lambda: [fetch(url, to_form, form)[0], sandbox.files.read("/tmp/uploaded")])
    step("links: download with the link of an upload", fetch, url, to)
    step("links: hosts", sandbox.get_host, 8000)


# ── Lifetime ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def describe_info(info):
    seen = {name: getattr(info, name) for name in ("sandbox_id", "template_id", "name", "metadata", "cpu_count",
            "memory_mb")}  # fmt: skip
    lifetime = round((info.end_at - info.started_at).total_seconds())
    return {**seen, "state": info.state.value, "lifetime": lifetime}


@chapter(template="mine:v1", metadata={"run": RUN, "odd": "a b&c=d", "ż": "ó"}, timeout=120)
def life(sandbox):
    step("life: info", lambda: describe_info(sandbox.get_info()))
    step("life: info by id", lambda: describe_info(Sandbox.get_info(sandbox.sandbox_id)))
    step("life: runs", sandbox.is_running)
    before = sandbox.get_info().end_at
    step("life: set_timeout", sandbox.set_timeout, 600)
    record("life: ends later", 400 < (sandbox.get_info().end_at - before).total_seconds() < 600)
    step("life: set_timeout by id", Sandbox.set_timeout, sandbox.sandbox_id, 60)
    record("life: ends sooner", (sandbox.get_info().end_at - before).total_seconds() < 0)
    step("life: connect does not shorten", lambda: Sandbox.connect(sandbox.sandbox_id, timeout=10).sandbox_id)
    record("life: ends as before", (sandbox.get_info().end_at - before).total_seconds() > -70)
    step("life: connect lengthens", lambda: Sandbox.connect(sandbox.sandbox_id, timeout=900).sandbox_id)
    record("life: ends much later", (sandbox.get_info().end_at - before).total_seconds() > 700)
    step("life: metrics", lambda: [(one.cpu_count, one.mem_total) for one in sandbox.get_metrics()])
    step("life: odd metadata is found", lambda: len(Sandbox.list(query=SandboxQuery(
        metadata={"run": RUN, "odd": "a b&c=d", "ż": "ó"})).next_items()))  # fmt: skip
    run("life: something to keep", sandbox, "kept = ['kept']\nopen('/tmp/kept', 'w').write('file')")
    step("life: pause", sandbox.pause)
    step("life: does not run", sandbox.is_running)
    step("life: is paused", lambda: sandbox.get_info().state.value)
    step("life: pause again", sandbox.pause)
    run("life: a cell while paused", sandbox, "1")
    step("life: a file while paused", sandbox.files.read, "/tmp/kept")
    step("life: a command while paused", sandbox.commands.run, "echo 1")
    query = SandboxQuery(metadata={"run": RUN}, state=[SandboxState.PAUSED])
    step("life: listed as paused", lambda: [one.sandbox_id for one in Sandbox.list(query=query).next_items()])
    query = SandboxQuery(metadata={"run": RUN}, state=[SandboxState.RUNNING])
    step("life: not listed as running", lambda: [one.sandbox_id for one in Sandbox.list(query=query).next_items()])
    again = Sandbox.connect(sandbox.sandbox_id)
    step("life: runs again", again.is_running)
    run("life: kept", again, "kept")
    step("life: file is kept", again.files.read, "/tmp/kept")
    run("life: by the first handle", sandbox, "kept")
    step("life: pause by id", Sandbox.pause, sandbox.sandbox_id)
    step("life: woken by its own connect", lambda: sandbox.connect().sandbox_id)
    run("life: kept still", sandbox, "kept")
    step("life: kill", sandbox.kill)
    step("life: kill again", sandbox.kill)
    step("life: kill by id", Sandbox.kill, sandbox.sandbox_id)
    step("life: is over", sandbox.is_running)
    step("life: info is over", sandbox.get_info)
    step("life: connect is over", Sandbox.connect, sandbox.sandbox_id)
    step("life: set_timeout is over", sandbox.set_timeout, 60)
    step("life: pause is over", sandbox.pause)
    step("life: metrics are over", sandbox.get_metrics)
    run("life: a cell is over", sandbox, "1")
    step("life: contexts are over", sandbox.list_code_contexts)
    step("life: files are over", sandbox.files.read, "/tmp/kept")
    step("life: folders are over", sandbox.files.list, "/tmp")
    step("life: commands are over", sandbox.commands.run, "echo 1")


@chapter(sandbox=False)
def ends():
    short = create_sandbox(timeout=1)
    sleeper = create_sandbox(timeout=30, lifecycle={"on_timeout": "pause"})
    run("ends: while it lasts", sleeper, "kept = 1")
    sleeper.set_timeout(1)
    with create_sandbox() as whole:
        run("ends: within a block", whole, "1")
    step("ends: after the block", whole.is_running)
    try:
        with create_sandbox() as broken:
            raise KeyError("for the block's end")
    except KeyError:
        step("ends: after a block that broke", broken.is_running)
    time.sleep(1.6)
    step("ends: its time is over", short.is_running)
    run("ends: a cell after its time", short, "1")
    step("ends: info after its time", short.get_info)
    step("ends: kill after its time", short.kill)
    step("ends: paused at its time", lambda: sleeper.get_info().state.value)
    step("ends: wakes", lambda: sleeper.connect(timeout=60).sandbox_id)
    run("ends: kept", sleeper, "kept")
    step("ends: kill", sleeper.kill)
    running = create_sandbox(timeout=2)
    run("ends: in the middle of a cell", running, "import time\ntime.sleep(20)")
    step("ends: killed elsewhere", lambda: Sandbox.kill(create_sandbox().sandbox_id))
    step("ends: unknown", Sandbox.connect, "inosuchsandboxanywhere")
    step("ends: unknown info", Sandbox.get_info, "inosuchsandboxanywhere")
    step("ends: unknown kill", Sandbox.kill, "inosuchsandboxanywhere")


@chapter(sandbox=False)
def creations():
    ways = {
        "as it is": {},
        "a template": {"template": "other-template"},
        "a build of it": {"template": "mine:v2", "timeout": 77},
        "without the internet": {"allow_internet_access": False},
        "some of the internet": {"network": {"deny_out": ["0.0.0.0/0"], "allow_out": ["1.1.1.1"]}},
        "sleeps at its end": {"lifecycle": {"on_timeout": "pause", "auto_resume": False}},
        "many names": {"metadata": {"run": RUN, **{f"name {n}": "v" * n for n in range(20)}}},
        "no metadata": {"metadata": {}},
    }
    for name, way in ways.items():

        def one():
            with create_sandbox(**way) as sandbox:
                return [describe_info(sandbox.get_info()), sandbox.run_code("6 * 7", timeout=TIMEOUT_S).text]

        step(f"creations: {name}", one)
    step("creations: too long", create_sandbox, timeout=60 * 60 * 24 * 365)


@chapter(sandbox=False)
def lists():
    all = [create_sandbox(metadata={"run": RUN, "of": "lists", "n": str(n)}) for n in range(3)]
    ids = {one.sandbox_id for one in all}
    mine = SandboxQuery(metadata={"run": RUN, "of": "lists"})

    def pages(**named):
        pager, found = Sandbox.list(**named), []
        while pager.has_next:
            found.append([one.sandbox_id for one in pager.next_items()])
        return found

    step("lists: all of mine", lambda: [set(page) == ids for page in pages(query=mine)])
    step("lists: in pages", lambda: [len(page) for page in pages(query=mine, limit=2)])
    step("lists: no one twice", lambda: sorted(sum(pages(query=mine, limit=1), [])) == sorted(ids))
    step("lists: everyone's", lambda: ids <= set(sum(pages(), [])))
    query = SandboxQuery(metadata={"run": RUN, "n": "1"})
    step("lists: one of mine", lambda: sum(pages(query=query), []) == [all[1].sandbox_id])
    step("lists: none", lambda: pages(query=SandboxQuery(metadata={"run": RUN, "n": "nobody"})))
    step("lists: metadata", lambda: Sandbox.list(query=query).next_items()[0].metadata["n"])
    all[0].pause()
    for state in SandboxState:
        query = SandboxQuery(metadata={"run": RUN, "of": "lists"}, state=[state])
        step(f"lists: {state.value}", lambda: len(sum(pages(query=query), [])))
    for one in all:
        one.kill()
    step("lists: none left", lambda: len(sum(pages(query=mine), [])))


@chapter(sandbox=False)
def keys():
    step("keys: wrong one", Sandbox.create, api_key="e2b_wrong")
    step("keys: wrong one lists", lambda: Sandbox.list(api_key="e2b_wrong").next_items())
    step("keys: wrong one connects", Sandbox.connect, "inosuchsandboxanywhere", api_key="e2b_wrong")
    sandbox = create_sandbox()
    step("keys: wrong one kills", Sandbox.kill, sandbox.sandbox_id, api_key="e2b_wrong")
    step("keys: still there", sandbox.is_running)
    to = {"E2b-Sandbox-Id": sandbox.sandbox_id, "Content-Type": "application/json"}
    origin = os.environ["E2B_SANDBOX_URL"].rstrip("/")
    body = json.dumps({"code": "1"}).encode()
    step("keys: a cell without a token", fetch, f"{origin}/execute", {**to, "E2b-Sandbox-Port": "49999"}, body)
    step("keys: a call without a token", fetch, f"{origin}/filesystem.Filesystem/ListDir",
         {**to, "E2b-Sandbox-Port": "49983"}, b'{"path": "/tmp"}')  # fmt: skip
    wrong = {**to, "E2b-Sandbox-Port": "49999", "X-Access-Token": "wrong"}
    step("keys: a cell with a wrong token", fetch, f"{origin}/execute", wrong, body)
    step("keys: health of the interpreter", fetch, f"{origin}/health", {**to, "E2b-Sandbox-Port": "49999"})
    step("keys: health of the sandbox", fetch, f"{origin}/health", {**to, "E2b-Sandbox-Port": "49983"})
    sandbox.kill()


@chapter(sandbox=False)
def asynchronous():
    async def all():
        sandbox = await AsyncSandbox.create(metadata={"run": RUN}, envs={"CREATED": "yes"}, timeout=300)
        placeholders[sandbox.sandbox_id] = "<sandbox>"
        async with sandbox:
            record_execution("asynchronous: a cell", await sandbox.run_code("x = 2 ** 10\nx"))
            record_execution("asynchronous: state", await sandbox.run_code("x + 1"))
            events = []

            async def stdout(message):
                events.append(["stdout", message.line])

            def result(one):
                events.append(["result", one.text])

            record_execution("asynchronous: callbacks", await sandbox.run_code("print('a')\ndisplay('b')\n'c'", on_stdout=stdout,
                 on_result=result))  # fmt: skip
            record("asynchronous: order of callbacks", merged(events))
            record_execution("asynchronous: error", await sandbox.run_code("1 / 0"))
            await sandbox.files.write("a", "b")
            record("asynchronous: file", [await sandbox.files.read("a"), await sandbox.files.exists("c")])
            record_execution("asynchronous: a cell reads it", await sandbox.run_code("open('/home/user/a').read()"))
            context = await sandbox.create_code_context(cwd="/tmp")
            placeholders[context.id] = "<context>"
            record_execution("asynchronous: context", await sandbox.run_code("import os\nos.getcwd()", context=context))
            await sandbox.remove_code_context(context)
            record("asynchronous: info", describe_info(await sandbox.get_info()))
            try:
                await sandbox.run_code("import time\ntime.sleep(60)", timeout=1)
            except Exception as error:
                record("asynchronous: late", refusal(error), message=str(error))
                await asyncio.sleep(PAUSE_S)
            record_execution("asynchronous: kept", await sandbox.run_code("x"))
            # Cells of one context run one after another, whichever client sends them.
            several = await asyncio.gather(*(sandbox.run_code(f"x += {n}\nx") for n in (1, 10, 100)))
            record("asynchronous: cells at once", [max(int(one.text) for one in several), len({one.execution_count
                 for one in several})])  # fmt: skip
        record("asynchronous: over", await sandbox.is_running())
        several = await asyncio.gather(*(AsyncSandbox.create(metadata={"run": RUN}, timeout=300) for _ in range(4)))
        for one in several:
            placeholders[one.sandbox_id] = "<sandbox>"
        cells = [one.run_code(f"n = {n}\nimport time\ntime.sleep(0.3)\nn") for n, one in enumerate(several)]
        record("asynchronous: several", [one.text for one in await asyncio.gather(*cells)])
        record("asynchronous: killed", await asyncio.gather(*(one.kill() for one in several)))
        try:
            await several[0].run_code("1")
        except Exception as error:
            record("asynchronous: after its end", refusal(error), message=str(error))
        pager = AsyncSandbox.list(query=SandboxQuery(metadata={"run": RUN}))
        record("asynchronous: none left", len(await pager.next_items()))

    asyncio.run(all())


# ── Cells that may need the cloud ─────────────────────────────────────────────────────────────────────────────────────


@chapter
def shell(sandbox):
    run("shell: state before", sandbox, "word = 'hello'\nnumbers = [1, 2]")
    run("shell: echo", sandbox, "!echo $((1 + 2))")
    run("shell: state is kept", sandbox, "word, numbers")
    run("shell: a name in it", sandbox, "!echo {word} $word")
    run("shell: into a name", sandbox, "lines = !printf 'a\\nb\\n'\nlist(lines)")
    run("shell: code of it", sandbox, "!exit 3\n_exit_code")
    run("shell: stderr of it", sandbox, "!echo wrong >&2")
    run("shell: among Python", sandbox, "for n in range(2):\n    !echo {n}\nprint('done')")
    run("shell: a file of it", sandbox, "!echo made > /tmp/by_shell\nopen('/tmp/by_shell').read()")
    run("shell: %pwd", sandbox, "%pwd")
    run("shell: %env", sandbox, "%env NAME=value\nimport os\nos.environ['NAME']")
    run("shell: %cd", sandbox, "%cd /tmp\nos.getcwd()")
    run("shell: %%bash", sandbox, "%%bash\necho from bash\necho again")
    run("shell: %%writefile", sandbox, "%%writefile /tmp/cell.txt\nof a cell\n")
    run("shell: what it wrote", sandbox, "open('/tmp/cell.txt').read()")
    run("shell: unknown magic", sandbox, "%no_such_magic 1")
    run("shell: unknown cell magic", sandbox, "%%no_such_magic\n1")
    run("shell: get_ipython", sandbox, "get_ipython() is not None")
    run("shell: %matplotlib", sandbox, "%matplotlib inline\n'inline'")
    run("shell: modulo is no magic", sandbox, "7 %3")
    run("shell: no shell in a string", sandbox, "text = '''\n!echo no\n'''\ntext")


@chapter
def beyond(sandbox):
    run("beyond: state before", sandbox, "seen = []\ndef note(x):\n    seen.append(x)\nnote('before')")
    run("beyond: subprocess", sandbox, "import subprocess\n"
        "subprocess.run(['echo', 'out'], capture_output=True, text=True).stdout")  # fmt: skip
    run("beyond: subprocess prints", sandbox, "subprocess.run(['sh', '-c', 'echo out; echo err >&2']).returncode")
    run("beyond: state is kept", sandbox, "note('after')\nseen")
    run("beyond: os.system", sandbox, "import os\nos.system('echo by system')")
    run("beyond: thread", sandbox, "import threading\nt = threading.Thread(target=note, args=('thread',))\nt.start()\n"
        "t.join()\nseen[-1]")  # fmt: skip
    run("beyond: pool", sandbox, "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(2) as p:\n"
        "    r = list(p.map(lambda n: n * n, range(4)))\nr")  # fmt: skip
    run("beyond: socket", sandbox, "import socket\na, b = socket.socketpair()\na.send(b'hi')\nb.recv(2)")
    run("beyond: platform", sandbox, "import sys\nsys.platform")


@chapter
def thread_first(sandbox):
    """A cell needs the cloud after it has had effects."""
    run("thread_first: a counter", sandbox, "count = 0\ndef up():\n    global count\n    count += 1\n"
        "    return count\nup()")  # fmt: skip
    run("thread_first: prints, then needs more", sandbox, "print('before', up())\nimport threading\n"
        "t = threading.Thread(target=up)\nt.start()\nt.join()\nprint('after', count)\ncount")  # fmt: skip
    run("thread_first: goes on", sandbox, "up()")
    run("thread_first: hidden need", sandbox, "m = __import__('sub' + 'process')\n"
        "getattr(m, 'check_output')(['echo', str(up())])")  # fmt: skip
    run("thread_first: once only", sandbox, "count")


@chapter
def death(sandbox):
    run("death: state", sandbox, "import os\nx = 1\nopen('/tmp/survives', 'w').write('file')")
    run("death: os._exit", sandbox, "os._exit(1)")
    run("death: state is lost", sandbox, "'x' in globals()")
    run("death: files are kept", sandbox, "open('/tmp/survives').read()")
    run("death: after output", sandbox, "import os\nprint('last words', flush=True)\nimport time\n"
        "time.sleep(0.3)\nos._exit(0)")  # fmt: skip
    run("death: goes on", sandbox, "'alive'")
    run("death: by a signal", sandbox, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    run("death: goes on again", sandbox, "'alive again'")
    run("death: exit()", sandbox, "z = 1\nexit()")
    run("death: after exit()", sandbox, "z")


@chapter
def languages(sandbox):
    run("languages: python", sandbox, "1 + 1", language="python")
    run("languages: javascript", sandbox, "1 + 1", language="javascript")
    run("languages: bash", sandbox, "echo 1", language="bash")
    run("languages: bash keeps its state", sandbox, "n=3\ncd /tmp\ntwice() { echo $(($1 * 2)); }", language="bash")
    run("languages: its state is there", sandbox, "echo $n\npwd\ntwice 4", language="bash")
    run("languages: bash both streams", sandbox, "echo out; echo err >&2; printf 'no end'", language="bash")
    run("languages: bash status", sandbox, "echo before; ls /no/such/folder 2> /dev/null", language="bash")
    run("languages: bash unknown command", sandbox, "no-such-command-anywhere 2> /dev/null", language="bash")
    run("languages: bash block", sandbox, "for i in 1 2; do\n  echo $i\ndone\n# a comment\necho end", language="bash")
    run("languages: bash sees files", sandbox, "echo of bash > /tmp/by_bash", language="bash")
    run("languages: python sees them", sandbox, "open('/tmp/by_bash').read()")
    run("languages: bash environment", sandbox, "echo $K", language="bash", envs={"K": "a 'b' $c"})
    run("languages: bash exit", sandbox, "exit 3", language="bash")
    run("languages: bash goes on", sandbox, "echo on $n", language="bash")
    context = sandbox.create_code_context(language="bash", cwd="/tmp")
    placeholders[context.id] = "<context>"
    record("languages: bash context", [context.language, context.cwd])
    run("languages: bash in its folder", sandbox, "pwd; echo $n", context=context)
    run("languages: unknown", sandbox, "1", language="cobol")
    step("languages: context", lambda: type(sandbox.create_code_context(language="javascript")).__name__)
    run("languages: python still", sandbox, "2 + 2")


def describe_command(done):
    return {"exit_code": done.exit_code, "stdout": done.stdout, "stderr": done.stderr, "error": done.error}


@chapter(envs={"CREATED": "yes"})
def commands(sandbox):
    shell = sandbox.commands

    def command(name, *arguments, **named):
        step(f"commands: {name}", lambda: describe_command(shell.run(*arguments, **named)))

    run("commands: a cell before", sandbox, "before = [1]\nopen('/tmp/by_cell', 'w').write('by a cell')")
    command("echo", "echo out; echo err >&2")
    command("environment", "echo $CREATED $K", envs={"K": "v"})
    command("environment is not kept", "echo $CREATED $K.")
    command("cwd", "basename $PWD", cwd="/tmp")
    command("home", "basename $PWD")
    command("no such cwd", "pwd", cwd="/no/such/folder")
    command("exit code", "echo no; exit 3")
    command("not found", "no-such-command-anywhere 2> /dev/null")
    command("unicode", "echo 'żółć 🐍'")
    command("pipes", "printf '3\\n1\\n2\\n' | sort | head -2 | tr '\\n' ' '")
    command("several lines", "for n in 1 2 3; do\n  echo $n\ndone")
    command("file of a cell", "cat /tmp/by_cell")
    command("writes", "mkdir -p /tmp/c && echo by a command > /tmp/c/d")
    run("commands: a cell reads", sandbox, "open('/tmp/c/d').read(), before")
    step("commands: files read", sandbox.files.read, "/tmp/c/d")
    command("python", "python3 -c 'print(6 * 7)'")
    command("no stdin", "cat")
    step("commands: 200 kB", lambda: digest(shell.run("head -c 200000 /dev/zero | tr '\\0' x").stdout))
    events, times = [], []

    def collect(kind):
        def callback(text):
            times.append(time.monotonic())
            events.append([kind, text])

        return callback

    command("callbacks", "echo 1; sleep 0.3; echo 2 >&2; sleep 0.3; echo 3", on_stdout=collect("stdout"),
            on_stderr=collect("stderr"))  # fmt: skip
    record("commands: order of callbacks", [merged(events), times[-1] - times[0] > 0.3])
    handle = shell.run("sleep 100", background=True)
    listed = [one for one in shell.list() if one.pid == handle.pid]
    record("commands: list", [[one.cmd, one.args, one.cwd, one.tag] for one in listed])
    step("commands: kill", handle.kill)
    step("commands: killed", lambda: describe_command(handle.wait()))
    step("commands: kill again", shell.kill, handle.pid)
    record("commands: not listed", [one for one in shell.list() if one.pid == handle.pid])
    handle = shell.run("echo begun; sleep 0.5; echo ended", background=True)
    step("commands: background", lambda: describe_command(handle.wait()))
    handle = shell.run("sleep 0.5; echo late; exit 2", background=True)
    other = shell.connect(handle.pid)
    step("commands: connect", lambda: describe_command(other.wait()))
    step("commands: both", lambda: describe_command(handle.wait()))
    step("commands: connect to nothing", shell.connect, 999_999)
    handle = shell.run("read line; echo got $line", background=True, stdin=True)
    step("commands: stdin", shell.send_stdin, handle.pid, "it\n")
    step("commands: stdin was read", lambda: describe_command(handle.wait()))
    handle = shell.run("cat", background=True, stdin=True)
    shell.send_stdin(handle.pid, "all")
    step("commands: close stdin", shell.close_stdin, handle.pid)
    step("commands: stdin was all", lambda: describe_command(handle.wait()))
    step("commands: stdin of nothing", shell.send_stdin, 999_999, "x")
    command("timeout", "echo begun; sleep 100", timeout=1)
    handle = shell.run("sleep 100", background=True)
    handle.disconnect()
    record("commands: disconnected runs on", len([one for one in shell.list() if one.pid == handle.pid]))
    step("commands: kill by pid", shell.kill, handle.pid)
    step("commands: pieces", lambda: merged([["stdout", out] if out else ["stderr", err] for out, err, _ in
         shell.run("echo 1; sleep 0.2; echo 2 >&2", background=True)]))  # fmt: skip
    run("commands: a cell after", sandbox, "before")
    step("commands: background server", lambda: describe_command(shell.run(
        "nohup sleep 1000 > /dev/null 2>&1 & echo started")))  # fmt: skip


@chapter
def absent(sandbox):
    """Functions that a server may not support: its refusals."""
    step("absent: watch_dir", lambda: type(sandbox.files.watch_dir("/tmp")).__name__)
    step("absent: terminal", lambda: type(sandbox.pty.create(size=__import__("e2b").PtySize(24, 80))).__name__)
    step("absent: snapshot", lambda: type(sandbox.create_snapshot()).__name__)
    step("absent: network", lambda: sandbox.update_network({"allow_out": []}))
    step("absent: gzip", lambda: describe_entry(sandbox.files.write("/tmp/z", "z", gzip=True)))
    step("absent: user", lambda: describe_command(sandbox.commands.run("echo 1", user="root")))
    run("absent: a cell after", sandbox, "1")


# ── Main ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def main(names):
    # Shows where the script hangs, if it does.
    faulthandler.dump_traceback_later(280, exit=True)
    code = 0
    for name in names or CHAPTERS:
        function, creation = CHAPTERS[name]
        started, sandbox = time.monotonic(), None
        try:
            if creation.get("sandbox", True):
                sandbox = create_sandbox(**creation)
                function(sandbox)
            else:
                function()
        except Exception as error:
            record(f"{name}: broke off", refusal(error), message=str(error))
            traceback.print_exc()
            code = 1
        finally:
            try:
                _ = sandbox and sandbox.kill()
            except Exception as error:
                print(f"{name}: its sandbox could not be killed: {error}", file=sys.stderr)
        print(f"{name}: {time.monotonic() - started:.1f} s", file=sys.stderr, flush=True)
    return code


end = main(sys.argv[1:])
# The SDK's own transport sometimes aborts at the end of the interpreter (e2b 2.63.0); the transcript is complete by then.
sys.stdout.flush()
os._exit(end)
