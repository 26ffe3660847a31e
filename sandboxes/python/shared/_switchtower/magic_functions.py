"""Magics that kernels here run themselves. A function of `LINE` gets the kernel and the rest of the line; one of `CELL`
gets the lines below as well. `Time` and `Capture` surround the cell, which is run as every other."""

from __future__ import annotations

import ast
import builtins
import contextlib
import inspect
import io
import os
import shlex
import sys
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

from . import host, ipython, magics, pretty, representations

LINE: dict[str, Callable[[Any, str], Any]] = {}
CELL: dict[str, Callable[[Any, str, str], Any]] = {}

# Extensions that change nothing here: they concern files that change, and pictures.
_EXTENSIONS = frozenset({"autoreload", "matplotlib", "matplotlib_inline", "google.colab.data_table"})
# Names of the kernel that `%who` leaves out.
_OWN = frozenset("In Out exit quit get_ipython open".split())


def _line(*names: str) -> Callable[[Callable[[Any, str], Any]], Callable[[Any, str], Any]]:
    def add(function: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
        LINE.update(dict.fromkeys(names, function))
        return function

    return add


def _options(line: str, flags: str, name: str) -> tuple[dict[str, str], str]:
    """Returns the options in front of a line, and the rest. A flag followed by `:` has a value."""
    given: dict[str, str] = {}
    while line.startswith("-") and len(line) > 1:
        word, _, rest = line.partition(" ")
        letter = word[1]
        if letter not in flags.replace(":", "") or word.startswith("--"):
            raise magics.UsageError(f"option {word} not recognized ( allowed: {flags!r} )")
        if flags.partition(letter)[2].startswith(":"):
            value = word[2:]
            if not value:
                value, _, rest = rest.lstrip().partition(" ")
            if not value:
                raise magics.UsageError(f"option -{letter} requires argument")
            given[letter], line = value, rest.lstrip()
        else:
            given.update(dict.fromkeys(word[1:], ""))
            line = rest.lstrip()
    return given, line


def _number(given: dict[str, str], letter: str, default: int) -> int:
    text = given.get(letter, str(default))
    if not text.isascii() or not text.isdigit():
        raise magics.UsageError(f"option -{letter} takes a number, not {text!r}")
    return int(text)


# Time


def _duration(seconds: float, precision: int = 3) -> str:
    """Returns a time as text, in the unit that suits it."""
    if seconds >= 60:
        parts = []
        for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
            count = int(seconds // length)
            seconds -= count * length
            if count:
                parts.append(f"{count}{unit}")
        return " ".join(parts)
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("μs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.{precision}g} {unit}"
    return f"{seconds * 1e9:.{precision}g} ns"


class Time:
    """Prints how long the code within took, unless it raises."""

    # The value of the code is shown after what is printed.
    shows_within = False

    def __enter__(self) -> None:
        self._before = os.times(), time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        (cpu, wall), ended = self._before, time.perf_counter()
        now = os.times()
        if kind is None:
            user, system = max(now.user - cpu.user, 0), max(now.system - cpu.system, 0)
            print(f"CPU times: user {_duration(user)}, sys: {_duration(system)}, total: {_duration(user + system)}")
            print(f"Wall time: {_duration(max(ended - wall, 0))}")


@_line("time")
def _time(kernel: Any, line: str) -> Any:
    tree, value = _parsed(line, "%time"), None
    last = None
    if isinstance(end := tree.body[-1], ast.Expr):
        last = ast.Expression(end.value)
        tree.body.pop()
    with Time():
        exec(compile(tree, "<timed exec>", "exec"), kernel.names)
        if last is not None:
            value = eval(compile(last, "<timed eval>", "eval"), kernel.names)
    return value


def _parsed(code: str, magic: str) -> ast.Module:
    tree = ast.parse(code)
    if not tree.body:
        raise magics.UsageError(f"{magic} needs a statement")
    return tree


class TimeitResult:
    """What `%timeit -o` returns."""

    def __init__(
        self, loops: int, repeat: int, best: float, worst: float, all_runs: list[float], precision: int
    ) -> None:
        self.loops, self.repeat, self.best, self.worst, self.all_runs = loops, repeat, best, worst, all_runs
        self.compile_time = 0.0
        self._precision = precision
        self.timings = [run / loops for run in all_runs]

    @property
    def average(self) -> float:
        return sum(self.timings) / len(self.timings)

    @property
    def stdev(self) -> float:
        mean = self.average
        return float((sum((timing - mean) ** 2 for timing in self.timings) / len(self.timings)) ** 0.5)

    def __str__(self) -> str:
        runs, loops = "s" if self.repeat > 1 else "", "s" if self.loops > 1 else ""
        mean, deviation = _duration(self.average, self._precision), _duration(self.stdev, self._precision)
        return (f"{mean} ± {deviation} per loop (mean ± std. dev. of {self.repeat} run{runs}, "
                f"{self.loops:,} loop{loops} each)")  # fmt: skip

    def _repr_pretty_(self, p: pretty.Printer, cycle: bool) -> None:
        p.text(f"<TimeitResult : {self}>")


TimeitResult.__module__ = "IPython.core.magics.execution"


@_line("timeit")
def _timeit(kernel: Any, line: str) -> Any:
    return _measure(kernel, line, None)


def _timeit_cell(kernel: Any, line: str, cell: str) -> Any:
    return _measure(kernel, line, cell)


CELL["timeit"] = _timeit_cell

_TIMED = (
    "def inner(_it, _timer):\n setup\n _t0 = _timer()\n for _i in _it:\n  stmt\n _t1 = _timer()\n return _t1 - _t0\n"
)


def _measure(kernel: Any, line: str, cell: str | None) -> Any:
    import gc
    import itertools

    given, statement = _options(line, "n:r:p:tcqov:", "timeit")
    number, repeat = _number(given, "n", 0), max(_number(given, "r", 7), 1)
    setup = ast.parse(statement if cell is not None else "").body or [ast.Pass()]
    body = _parsed(statement if cell is None else cell, "%timeit").body
    template = ast.parse(_TIMED)
    inner = template.body[0]
    assert isinstance(inner, ast.FunctionDef) and isinstance(inner.body[2], ast.For)
    inner.body[2].body = body
    inner.body[:1] = setup
    found: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(template), "<magic-timeit>", "exec"), kernel.names, found)
    timer = time.process_time if "c" in given else time.perf_counter

    def run(loops: int) -> float:
        collects = gc.isenabled()
        gc.disable()
        try:
            return float(found["inner"](itertools.repeat(None, loops), timer))
        finally:
            if collects:
                gc.enable()

    if not number:
        for power in range(10):
            number = 10**power
            if run(number) >= 0.2:
                break
    runs = [run(number) for _ in range(repeat)]
    best, worst = min(runs) / number, max(runs) / number
    result = TimeitResult(number, repeat, best, worst, runs, _number(given, "p", 3))
    if "q" not in given:
        if worst > 4 * best > 0 and worst > 1e-6:
            print(f"The slowest run took {worst / best:0.2f} times longer than the fastest. "
                  "This could mean that an intermediate result is being cached.")  # fmt: skip
        print(result)
    return result if "o" in given else None


# Output


class CapturedIO:
    """What `%%capture NAME` binds."""

    def __init__(self, stdout: io.StringIO, stderr: io.StringIO, outputs: list[Any]) -> None:
        self._stdout, self._stderr, self._outputs = stdout, stderr, outputs

    @property
    def stdout(self) -> str:
        return self._stdout.getvalue()

    @property
    def stderr(self) -> str:
        return self._stderr.getvalue()

    @property
    def outputs(self) -> list[Any]:
        """The values that were shown."""
        return self._outputs

    def show(self) -> None:
        """Shows all again."""
        sys.stdout.write(self.stdout)
        sys.stderr.write(self.stderr)
        for output in self._outputs:
            host.show(list(output.data.items()), False)

    __call__ = show

    def __str__(self) -> str:
        return self.stdout


CapturedIO.__module__ = "IPython.utils.capture"


class RichOutput:
    """A value that was shown while output was captured."""

    def __init__(self, data: dict[str, str]) -> None:
        self.data, self.metadata = data, dict[str, Any]()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return self.data


RichOutput.__module__ = "IPython.utils.capture"


class Capture:
    """Keeps the output of the code within, and binds it to a name where one is given."""

    shows_within = True

    def __init__(self, kernel: Any, line: str) -> None:
        words = shlex.split(line)
        known = {"--no-stdout", "--no-stderr", "--no-display"}
        if unknown := [word for word in words if word.startswith("-") and word not in known]:
            raise magics.UsageError(f"unrecognized arguments: {' '.join(unknown)}")
        names = [word for word in words if not word.startswith("-")]
        if len(names) > 1 or not all(name.isidentifier() for name in names):
            raise magics.UsageError("%%capture takes one name at most")
        self._kernel, self._name = kernel, names[0] if names else None
        self._keeps = {word: f"--no-{word}" not in words for word in ("stdout", "stderr", "display")}

    def __enter__(self) -> None:
        self._outputs: list[Any] = []
        self._texts = io.StringIO(), io.StringIO()
        self._before = sys.stdout, sys.stderr, host.show
        if self._keeps["stdout"]:
            sys.stdout = self._texts[0]
        if self._keeps["stderr"]:
            sys.stderr = self._texts[1]
        if self._keeps["display"]:
            host.show = lambda data, main: self._outputs.append(RichOutput(dict(data)))

    def __exit__(self, *_: object) -> None:
        for flush in representations.before_end:
            flush()
        sys.stdout, sys.stderr, host.show = self._before
        if self._name is not None:
            self._kernel.names[self._name] = CapturedIO(*self._texts, self._outputs)


def _showing(kind: Any) -> Callable[[Any, str, str], None]:
    return lambda kernel, line, cell: ipython.display(kind(cell)) and None


for _names, _kind in (
    (("html", "HTML"), ipython.HTML),
    (("latex",), ipython.Latex),
    (("markdown",), ipython.Markdown),
    (("javascript", "js"), ipython.Javascript),
    (("svg", "SVG"), ipython.SVG),
):
    CELL.update(dict.fromkeys(_names, _showing(_kind)))


# Names


def _bound(kernel: Any) -> list[str]:
    """The names that cells bound, sorted."""
    given = kernel.given
    return sorted(
        name
        for name, value in kernel.names.items()
        if not name.startswith("_") and not (name in given and given[name] is value) and name not in _OWN
    )


@_line("who_ls")
def _who_ls(kernel: Any, line: str) -> list[str]:
    kinds = line.split()
    return [name for name in _bound(kernel) if not kinds or type(kernel.names[name]).__name__ in kinds]


@_line("who")
def _who(kernel: Any, line: str) -> None:
    found = _who_ls(kernel, line)
    if not found:
        print("No variables match your requested type." if line.strip() else "Interactive namespace is empty.")
        return
    for start in range(0, len(found), 9):
        print("\t ".join(found[start : start + 9]) + "\t ")


@_line("whos")
def _whos(kernel: Any, line: str) -> None:
    found = _who_ls(kernel, line)
    if not found:
        print("No variables match your requested type." if line.strip() else "Interactive namespace is empty.")
        return
    rows = [(name, type(kernel.names[name]).__name__, _brief(kernel.names[name])) for name in found]
    name_width = max(len("Variable"), *(len(name) for name, _, _ in rows))
    kind_width = max(len("Type"), *(len(kind) for _, kind, _ in rows))
    print(f"{'Variable':<{name_width}}   {'Type':<{kind_width}}    Data/Info")
    print("-" * (name_width + kind_width + 16))
    for name, kind, info in rows:
        print(f"{name:<{name_width}}   {kind:<{kind_width}}    {info}")


def _brief(value: Any) -> str:
    """One line about a value."""
    kind = type(value)
    try:
        if kind in (list, tuple, dict, set, frozenset):
            return f"n={len(value)}"
        if kind.__name__ == "ndarray" and hasattr(value, "nbytes"):
            return f"{'x'.join(map(str, value.shape))}: {value.size} elems, type `{value.dtype}`, {value.nbytes} bytes"
        text = str(value)
    except Exception as error:
        return f"<{type(error).__name__}>"
    text = text.replace("\n", "\\n")
    return text if len(text) <= 70 else f"{text[:25]}<...>{text[-25:]}"


@_line("reset")
def _reset(kernel: Any, line: str) -> None:
    words = line.split()
    if unknown := [word for word in words if word not in ("-f", "-s", "in", "out", "array")]:
        raise magics.UsageError(f"%reset takes -f, -s, in and out, not {unknown[0]}")
    if "-f" not in words:
        # IPython asks, and nobody can answer.
        raise magics.UsageError("%reset asks before it removes names, which is not possible here; use %reset -f")
    if "out" in words or not set(words) & {"in", "out", "array"}:
        for number in list(kernel.kept):
            kernel.names.pop(f"_{number}", None)
        kernel.kept.clear()
    if not set(words) & {"in", "out", "array"} and "-s" not in words:
        for name in _bound(kernel):
            del kernel.names[name]
        kernel.names.update(kernel.given)


@_line("history", "hist")
def _history(kernel: Any, line: str) -> None:
    given, rest = _options(line, "nopl:f:", "history")
    sources = list(enumerate(kernel.history))[1:-1]
    if "l" in given:
        sources = sources[-_number(given, "l", 10) :]
    text = "\n".join(f"{number:4}: {source}" if "n" in given else source for number, source in sources)
    if "f" in given:
        with open(given["f"], "w") as file:
            file.write(text + "\n")
    else:
        print(text)


# Folders, environment, files


@_line("pwd")
def _pwd(kernel: Any, line: str) -> str:
    return os.getcwd()


@_line("cd")
def _cd(kernel: Any, line: str) -> None:
    given, folder = _options(line, "q", "cd") if line.strip() != "-" else ({}, "-")
    visited = kernel.names.get("_dh") or [os.getcwd()]
    folder = folder.strip().strip("\"'")
    if folder == "-":
        if len(visited) < 2:
            raise magics.UsageError("No previous directory to change to.")
        folder = visited[-2]
    os.chdir(os.path.expanduser(folder or "~"))
    visited.append(os.getcwd())
    if "q" not in given:
        print(os.getcwd())


@_line("env")
def _env(kernel: Any, line: str) -> Any:
    text = line.strip()
    if not text:
        return dict(os.environ)
    separator = "=" if "=" in text else " "
    name, is_set, value = text.partition(separator)
    if is_set:
        return _set_env(kernel, f"{name.strip()} {value.strip()}")
    if text not in os.environ:
        raise magics.UsageError(f"Environment does not have key: {text}")
    return os.environ[text]


@_line("set_env")
def _set_env(kernel: Any, line: str) -> None:
    name, _, value = line.strip().partition("=" if "=" in line.split(" ")[0] else " ")
    if not name or not value:
        raise magics.UsageError("%set_env takes a name and a value")
    os.environ[name] = value
    print(f"env: {name}={value}")


def _write_file(kernel: Any, line: str, cell: str) -> None:
    given, name = _options(line, "a", "writefile")
    name = os.path.expanduser(name.strip().strip("\"'"))
    if not name:
        raise magics.UsageError("%%writefile takes the name of a file")
    appends = "a" in given
    print(f"{'Appending to' if appends else 'Overwriting' if os.path.exists(name) else 'Writing'} {name}")
    with open(name, "a" if appends else "w", encoding="utf-8") as file:
        file.write(cell)


CELL["writefile"] = CELL["file"] = _write_file


@_line("run")
def _run(kernel: Any, line: str) -> None:
    given, rest = _options(line, "in", "run")
    words = shlex.split(rest)
    if not words:
        raise magics.UsageError("%run takes the name of a file")
    path = os.path.expanduser(words[0])
    if not os.path.exists(path) and os.path.exists(path + ".py"):
        path += ".py"
    if not path.endswith(".py"):
        magics.refuse(f"run {line}".strip(), f"%run takes a file with Python, not {path!r}")
    if not os.path.exists(path):
        raise OSError(f"File `{path!r}` not found.")
    with open(path, "rb") as file:
        code = compile(file.read(), os.path.abspath(path), "exec", dont_inherit=True)
    main = types.ModuleType("__main__")
    names = main.__dict__
    if "i" in given:
        names.update(kernel.names)
    names.update(__name__="__main__" if "n" not in given else os.path.splitext(os.path.basename(path))[0],
                 __file__=path, __builtins__=builtins)  # fmt: skip
    before = sys.argv, sys.modules["__main__"], sys.path[:]
    sys.argv, sys.modules["__main__"] = [path, *words[1:]], main
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    try:
        exec(code, names)
    except SystemExit as leaving:
        if leaving.code not in (None, 0):
            raise
    finally:
        sys.argv, sys.modules["__main__"] = before[:2]
        sys.path[:] = before[2]
        own = ("__name__", "__file__", "__builtins__", "__doc__", "__package__", "__loader__", "__spec__")
        kernel.names.update({name: value for name, value in names.items() if name not in own})


# Settings


@_line("precision")
def _precision(kernel: Any, line: str) -> str:
    text = line.strip()
    if text.isascii() and text.isdigit():
        form = f"%.{min(int(text), 99)}f"
    elif "%" in text:
        try:
            text % 3.14159
        except Exception:
            raise ValueError("Precision must be int or format string, not " + repr(text)) from None
        form = text
    elif not text:
        form = "%r"
    else:
        raise ValueError("Precision must be int or format string, not " + repr(text))
    pretty.float_format = None if form == "%r" else form
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.set_printoptions(precision=int(text) if text.isdigit() else 8)
    return form


def _nothing(kernel: Any, line: str) -> None:
    """Has no effect here: there is no screen, and modules are loaded again in no kernel."""


LINE.update(dict.fromkeys(("matplotlib", "autoreload", "colors", "autosave"), _nothing))


@_line("config")
def _config(kernel: Any, line: str) -> None:
    # How pictures are made of figures: here they are always PNG.
    if not line.strip().startswith("InlineBackend"):
        magics.refuse(f"config {line}".strip(), "Line magic function `%config` is for InlineBackend here.")


@_line("load_ext", "reload_ext")
def _load_extension(kernel: Any, line: str) -> None:
    name = line.strip()
    if name not in _EXTENSIONS:
        magics.refuse(f"load_ext {name}", f"No module named {name!r}")


@_line("xmode")
def _xmode(kernel: Any, line: str) -> None:
    mode = line.strip().capitalize() or "Context"
    if mode not in ("Plain", "Context", "Verbose", "Minimal", "Docs"):
        raise magics.UsageError(f"%xmode takes Plain, Context, Verbose, Minimal or Docs, not {line.strip()}")
    if mode != "Context":
        magics.refuse(f"xmode {line}".strip(), "Line magic function `%xmode` knows only Context here.")
    print(f"Exception reporting mode: {mode}")


# Help


@_line("pinfo", "pdef", "pdoc")
def _pinfo(kernel: Any, line: str) -> None:
    print(_help(kernel, line.strip(), source=False))


@_line("pinfo2", "psource")
def _pinfo2(kernel: Any, line: str) -> None:
    print(_help(kernel, line.strip(), source=True))


def _help(kernel: Any, name: str, source: bool) -> str:
    """Returns what is known of an object by its name."""
    if name.startswith("%"):
        function = LINE.get(name.lstrip("%")) or CELL.get(name.lstrip("%"))
        return f"Object `{name}` not found." if function is None else f"{name} is a magic that this kernel runs."
    if "*" in name:
        import fnmatch

        matching = fnmatch.filter(sorted({*kernel.names, *dir(builtins)}), name)
        return "\n".join(matching)
    try:
        value = _evaluated(kernel, name)
    except Exception:
        return f"Object `{name}` not found."
    lines = list(_facts(value, name, source))
    return "\n".join(lines)


def _evaluated(kernel: Any, name: str) -> Any:
    first, *rest = name.split(".")
    if not all(part.isidentifier() for part in (first, *rest)):
        raise NameError(name)
    value = kernel.names[first] if first in kernel.names else getattr(builtins, first)
    for part in rest:
        value = getattr(value, part)
    return value


def _facts(value: Any, name: str, source: bool) -> Iterator[str]:
    with contextlib.suppress(Exception):
        if callable(value):
            yield f"Signature: {name.rpartition('.')[2]}{inspect.signature(value)}"
    if not callable(value) and not isinstance(value, types.ModuleType):
        yield f"Type:        {type(value).__name__}"
        with contextlib.suppress(Exception):
            text = pretty.pretty(value)
            yield f"String form: {text if len(text) <= 200 else text[:200] + '…'}"
        with contextlib.suppress(Exception):
            yield f"Length:      {len(value)}"
    text = None
    if source:
        with contextlib.suppress(Exception):
            text = inspect.getsource(value)
    if text is not None:
        yield f"Source:\n{text.rstrip()}"
    elif (documented := inspect.getdoc(value)) is not None:
        yield f"Docstring:\n{documented}"
    with contextlib.suppress(Exception):
        yield f"File:      {inspect.getfile(value)}"
    if callable(value) or isinstance(value, types.ModuleType):
        yield f"Type:      {type(value).__name__}"


def wrapper(kernel: Any, name: str, line: str) -> Any:
    """Returns what surrounds the cell of a magic, or None where the magic is a function."""
    if name == "time":
        if line.strip():
            raise magics.UsageError("%%time takes nothing behind it: the statements are below")
        return Time()
    return Capture(kernel, line) if name == "capture" else None
