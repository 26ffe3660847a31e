"""What differs between two sides of a comparison, why, and how `tests/parity.md` says it."""

import collections
import re
from dataclasses import dataclass, field

HEADING = "## CPython's own tests\n"
NOT_EXPLAINED = "not explained"
LATE = "took longer than the time limit"


@dataclass(frozen=True)
class Outcome:
    """How a test ended: `passed`, `failed` or `skipped`, what its exception said, the line of the test it came from, its time."""

    kind: str
    reason: str = ""
    line: str = ""
    seconds: float = 0.0


@dataclass
class Side:
    """A Python: how it describes itself, and the outcomes of its tests by module and name."""

    version: str
    modules: "dict[str, dict[str, Outcome]]" = field(default_factory=dict)

    def write(self) -> object:
        outcomes = {module: {test: vars(one) for test, one in tests.items()} for module, tests in self.modules.items()}
        return {"version": self.version, "modules": outcomes}

    @staticmethod
    def read(kept: dict) -> "Side":
        modules = {module: {test: Outcome(**one) for test, one in tests.items()} for module, tests in kept["modules"].items()}
        return Side(kept["version"], modules)


@dataclass(frozen=True)
class Difference:
    module: str
    test: str
    outcome: Outcome
    cause: str


ABSENT = Outcome("failed", "the test is not there")


def differing(native: "dict[str, Outcome]", guest: "dict[str, Outcome]") -> "list[str]":
    """Returns the tests of a module that pass in CPython, and do not pass in the guest."""
    return [test for test, one in native.items() if one.kind == "passed" and guest.get(test, ABSENT).kind != "passed"]


def differences(sides: "dict[str, Side]", rules: "list[dict]") -> "list[Difference]":
    found = []
    for module, guest in sides["guest"].modules.items():
        native = sides["native"].modules[module]
        for test in differing(native, guest):
            outcome = of(guest, module, test) or ABSENT
            said = {name: of(side.modules[module], module, test) for name, side in sides.items() if name not in ("native", "guest")}
            found.append(Difference(module, short(module, test), outcome, cause(module, test, native[test], outcome, said, rules)))
    return found


def of(outcomes: "dict[str, Outcome]", module: str, test: str) -> "Outcome | None":
    """Returns the outcome of a test: its own, or that of its module, where that could not be imported or skips itself."""
    return outcomes.get(test) or outcomes.get(f"{module} (as a whole)") or outcomes.get(module)


def short(module: str, test: str) -> str:
    return test.removeprefix(f"test.{module}.")


def same(reason: str) -> str:
    """Returns what an exception said without what differs from run to run: addresses, places, hashes of objects."""
    reason = re.sub(r"0x[0-9a-fA-F]+", "0x…", reason)
    return re.sub(r"(/[\w.@+-]+)+/|'[^']*tmp[^']*'", "…/", reason)


def cause(module: str, test: str, native: Outcome, outcome: Outcome, witnesses: "dict[str, Outcome | None]", rules: "list[dict]") -> str:
    """Returns the cause of a difference: what a test itself says, what a witness shows, or what a rule explains."""
    if outcome.kind == "skipped":
        return "the test skips itself"
    if outcome.reason == LATE:
        return f"too long: {native.seconds:.0f} s in CPython"

    def agrees(name: str) -> bool:
        one = witnesses[name]
        return one is not None and one.kind == "failed" and same(one.reason) == same(outcome.reason)

    versions = sorted((name for name in witnesses if name.startswith("CPython")), key=lambda name: [int(part) for part in name.split()[1].split(".")])
    for name in versions:
        if agrees(name):
            return f"{name} says the same: changed since 3.11"
    for rule in rules:
        fits = re.fullmatch(rule.get("module", ".*"), module) and re.search(rule.get("test", ""), test)
        if fits and re.search(rule["said"], outcome.reason) and re.search(rule.get("line", ""), outcome.line):
            rule["used"] = True
            return rule["cause"]
    if "Pyodide" in witnesses and agrees("Pyodide"):
        return "Pyodide says the same: CPython 3.14, or 32 bits in WebAssembly"
    return NOT_EXPLAINED


def counts(outcomes: "dict[str, Outcome]") -> "list[int]":
    found = collections.Counter(one.kind for one in outcomes.values())
    return [found["passed"], found["failed"], found["skipped"]]


def row(module: str, sides: "dict[str, Side]", differ: int) -> str:
    numbers = counts(sides["native"].modules[module]) + counts(sides["guest"].modules[module])
    return f"| {module} | {' | '.join(map(str, numbers))} | {differ} |"


def cell(text: str, limit: int) -> str:
    text = same(text)
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text.replace("|", "\\|").replace("`", "'").replace("<", "&lt;")


def rows(found: "list[Difference]") -> "list[str]":
    """Returns the lines of the list: tests of a module that say the same are one."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for one in found:
        said = cell(one.outcome.reason, 160)
        if one.outcome.kind == "failed" and one.outcome.line:
            said += f"<br>`{cell(one.outcome.line, 100)}`"
        groups.setdefault((one.module, one.cause, said), []).append(one.test)
    return [f"| {module} | {', '.join(sorted(tests))} | {cause} | {said} |" for (module, cause, said), tests in sorted(groups.items())]


def text(sides: "dict[str, Side]", found: "list[Difference]") -> str:
    per_module = collections.Counter(one.module for one in found)
    totals = [0] * 6
    table = []
    for module in sides["native"].modules:
        numbers = counts(sides["native"].modules[module]) + counts(sides["guest"].modules[module])
        totals = [a + b for a, b in zip(totals, numbers)]
        table.append(row(module, sides, per_module[module]))
    table.append(f"| all | {' | '.join(map(str, totals))} | {len(found)} |")
    others = [f"* {name}: {side.version}" for name, side in sides.items() if name not in ("native", "guest")]
    lines = [
        HEADING,
        "CPython's test modules of version 3.11 (Debian's `libpython3.11-testsuite`), run in CPython 3.11 and in the guest by",
        "`python3 tests/cpython/compare.py --write`. What needs other processes or gigabytes is skipped on both sides. A difference is a",
        "test that passes in CPython and does not in the guest. Its cause is what the test says when it skips itself; or a witness, another",
        "CPython in which the same test says the same; or a rule of `tests/cpython/causes.toml`; else it is listed as not explained.",
        "",
        f"* native: {sides['native'].version}",
        f"* guest: {sides['guest'].version}",
        *others,
        "",
        "| module | native: pass | fail | skip | guest: pass | fail | skip | differ |",
        "|---|---|---|---|---|---|---|---|",
        *table,
        "",
        "| cause | tests |",
        "|---|---|",
    ]
    for name, number in collections.Counter(one.cause for one in found).most_common():
        lines.append(f"| {name} | {number} |")
    lines += ["", "| module | tests | cause | what it said |", "|---|---|---|---|", *rows(found)]
    return "\n".join(lines) + "\n"


def changes(listed: str, sides: "dict[str, Side]", found: "list[Difference]") -> "list[str]":
    """Returns how a result differs from what the list says of its modules."""
    part = listed.partition(HEADING)[2]
    changed = []
    for module in sides["native"].modules:
        expected = set()
        for line in part.splitlines():
            fields = line.strip("| ").split(" | ")
            if len(fields) >= 4 and fields[0] == module and not fields[1].isdigit():
                expected |= set(fields[1].split(", "))
        now = {one.test: one for one in found if one.module == module}
        if not re.search(rf"^\| {module} \| \d", part, re.M):
            changed.append(f"{module} is not listed")
        changed += [f"{module}: {test} differs, and is not listed: {now[test].outcome.reason}" for test in sorted(now.keys() - expected)]
        changed += [f"{module}: {test} is listed, and no longer differs" for test in sorted(expected - now.keys())]
        if not counts(sides["native"].modules[module])[0]:
            changed.append(f"{module}: no test passed natively")
    return changed
