"""Measures time: `%time`, `%timeit` and their like for cells."""

from __future__ import annotations

import ast
import gc
import itertools
import os
import time
from typing import Any

from .. import pretty
from ..magic_registry import CELL, SURROUNDING, UsageError, line, number_of, options, refuse


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


@line("time", literal=True)
def _time(kernel: Any, line: str) -> Any:
    if line.startswith("--"):
        refuse(f"time {line}", f"option {line.split()[0]} is not known here")
    tree, value = _parsed(line, "%time"), None
    last = None
    if isinstance(end := tree.body[-1], ast.Expr):
        last = ast.Expression(end.value)
        tree.body.pop()
    with Time():
        exec(compile(tree, "<timed exec>", "exec"), kernel.names)
        if last is not None:
            value = eval(compile(last, "<timed eval>", "eval"), kernel.names)
    return None if _is_silent(line) else value


def _is_silent(code: str) -> bool:
    return code.rstrip().endswith(";")


def _parsed(code: str, magic: str) -> ast.Module:
    tree = ast.parse(code)
    if not tree.body:
        raise UsageError(f"{magic} needs a statement")
    return tree


class TimeitResult:
    """What `%timeit -o` returns."""

    def __init__(
        self,
        loops: int,
        repeat: int,
        best: float,
        worst: float,
        all_runs: list[float],
        compile_time: float,
        precision: int,
    ) -> None:
        self.loops, self.repeat, self.best, self.worst, self.all_runs = loops, repeat, best, worst, all_runs
        self.compile_time, self._precision = compile_time, precision
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


@line("timeit", literal=True)
def _timeit(kernel: Any, line: str) -> Any:
    return _measure(kernel, line, None)


def _timeit_cell(kernel: Any, line: str, cell: str) -> Any:
    return _measure(kernel, line, cell)


CELL["timeit"] = _timeit_cell

_TIMED = (
    "def inner(_it, _timer):\n setup\n _t0 = _timer()\n for _i in _it:\n  stmt\n _t1 = _timer()\n return _t1 - _t0\n"
)


def _measure(kernel: Any, line: str, cell: str | None) -> Any:
    given, statement = options(line, "n:r:p:tcqov:", "timeit")
    number, repeat = number_of(given, "n", 0), max(number_of(given, "r", 7), 1)
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
    result = TimeitResult(number, repeat, best, worst, runs, 0.0, number_of(given, "p", 3))
    if "q" not in given:
        if worst > 4 * best > 0 and worst > 1e-6:
            print(f"The slowest run took {worst / best:0.2f} times longer than the fastest. "
                  "This could mean that an intermediate result is being cached.")  # fmt: skip
        print(result)
    if "v" in given:
        kernel.names[given["v"]] = result
    return result if "o" in given and not _is_silent(statement) else None


def _around(kernel: Any, line: str) -> Time:
    if line.strip():
        raise UsageError("%%time takes nothing behind it: the statements are below")
    return Time()


SURROUNDING["time"] = _around
