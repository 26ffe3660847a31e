#!/usr/bin/env python3
"""Runs CPython's own test modules in CPython and in the WebAssembly tier, and writes what differs into `tests/parity.md`.

    python3 tests/cpython/compare.py --switchtower target/release/switchtower --write
    python3 tests/cpython/compare.py --switchtower target/debug/switchtower --check test_heapq test_bisect

`--check` compares with what `tests/parity.md` lists instead, and ends with 1 where that differs, and with 77 where it cannot
run. The test modules are those of Debian's package libpython3.11-testsuite: installed, in the folder `--tests`, or fetched with
apt-get into `target/cpython-tests`. In place of `test.support` stands the folder `support` beside this file.

Where does a difference come from? Tests that differ are also run by witnesses, as far as they are found: other versions of
CPython (`--witness`), and Pyodide, which is CPython 3.14 in another WebAssembly build for 32 bits (from npm; needs node). A
witness that says the same explains it. For the rest there are the reviewed rules in `causes.toml`. What neither explains is
listed as not explained.
"""

import argparse
import ast
import concurrent.futures
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tomllib

import report
from report import Difference, Outcome, Side

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KEPT = ROOT / "target" / "cpython-tests"
PACKAGE = "libpython3.11-testsuite"
# A few modules that tests import are in the package of the standard library.
PACKAGES = (PACKAGE, "libpython3.11-stdlib")
INSTALLED = pathlib.Path("/usr/lib/python3.11/test")
PARITY = ROOT / "tests" / "parity.md"
PYODIDE = "pyodide@314.0.7"
CANNOT_RUN = 77
# Seconds until a run is ended, and after which it starts no further test: a test that is ended ran for the difference.
TIMEOUT, LAST_START = 150, 30
# The same for a witness, which has seen enough sooner.
WITNESS_TIMEOUT = 120
# How often the rest of a module is run after a test that ended the interpreter, or after the time for one run.
REPEATS = 40

MODULES = """
test_builtin test_unicode test_string_literals test_fstring test_int test_long test_float test_complex test_bool
test_list test_tuple test_range test_slice test_dict test_dictviews test_userdict test_set test_bytes test_array test_json test_re
test_datetime test_time test_calendar test_zoneinfo test_decimal test_fractions test_math test_cmath test_collections
test_defaultdict test_deque test_ordered_dict test_itertools test_functools test_operator test_dataclasses test_enum test_typing
test_io test_memoryio test_csv test_struct test_textwrap test_string test_random test_statistics test_heapq test_bisect test_copy
test_pickle test_pprint test_contextlib test_contextlib_async test_asyncio test_asyncgen test_coroutines test_generators test_iter
test_lambda test_exceptions test_descr test_class test_super test_property test_scope test_closures test_unpack test_patma
test_sort test_base64 test_hashlib test_html test_difflib test_graphlib test_ipaddress test_uuid test_argparse test_configparser
test_shlex test_types test_abc test_weakref test_augassign test_compare test_format test_grammar test_named_expressions
""".split()


class CannotRun(Exception):
    """What the comparison needs is not there."""


def find_tests(given: "str | None") -> pathlib.Path:
    """Returns the folder of the test modules."""
    for folder in [pathlib.Path(given)] if given else [INSTALLED, *KEPT.glob("usr/lib/python3*/test")]:
        if (folder / "test_exceptions.py").is_file():
            return folder
    if given:
        raise CannotRun(f"{given} has no test_exceptions.py: name the folder `test` of {PACKAGE}")
    KEPT.mkdir(parents=True, exist_ok=True)
    unpack = [["sh", "-c", f"dpkg-deb -x {package}_*.deb ."] for package in PACKAGES]
    for command in (["apt-get", "download", *PACKAGES], *unpack):
        try:
            failed = subprocess.run(command, cwd=KEPT, capture_output=True).returncode
        except OSError:
            failed = True
        if failed:
            raise CannotRun(f"{PACKAGE} could not be had: install it, or name its folder with --tests")
    return find_tests(None)


def copy_module(folders: "list[pathlib.Path]", module: str, into: pathlib.Path) -> None:
    """Copies a test module with what it imports of the package `test`."""
    package = into / "test"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copytree(HERE / "support", package / "support", ignore=shutil.ignore_patterns("__pycache__"))
    left, seen = [module], {"support", ""}
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        tests = next((one for one in folders if (one / name).is_dir() or (one / f"{name}.py").is_file()), folders[0])
        if (tests / name).is_dir():
            shutil.copytree(tests / name, package / name, ignore=shutil.ignore_patterns("__pycache__"))
            texts = [path.read_text(errors="replace") for path in (tests / name).rglob("*.py")]
        elif name == "test_grammar" != module:
            # Others take its lists of literals. As a whole, it cannot be imported by CPython 3.14.
            tree = ast.parse((tests / f"{name}.py").read_text())
            tree.body = [statement for statement in tree.body if isinstance(statement, ast.Assign)]
            (package / f"{name}.py").write_text(ast.unparse(tree))
            continue
        elif (tests / f"{name}.py").is_file():
            shutil.copy(tests / f"{name}.py", package)
            texts = [(tests / f"{name}.py").read_text(errors="replace")]
        else:
            continue
        # Data that the tests read.
        for path in tests.iterdir():
            if path.suffix not in (".py", ".pyc") and re.search(rf"""['"/]{re.escape(path.name)}['"/]""", "".join(texts)):
                if path.is_file():
                    shutil.copy(path, package)
                elif not (path / "__init__.py").exists() and path.name != "__pycache__":
                    shutil.copytree(path, package / path.name, dirs_exist_ok=True)
        for text in texts:
            left += re.findall(r"\btest\.(\w+)", text)
            for names in re.findall(r"from test import (\([^)]*\)|.*)", text):
                left += re.findall(r"\w+", re.sub(r" as \w+", "", names))
    for path in package.glob("ann_module*.py"):
        # Statements that CPython 3.14 cannot run, in modules that others import.
        path.write_text(re.sub(r"^( *)__annotations__\[.*\] = .*$", r"\1pass", path.read_text(), flags=re.M))
    shutil.copy(HERE / "run_module.py", into)


def run(command: "list[str]", module: str, folder: pathlib.Path, only: "list[str] | None") -> "dict[str, Outcome]":
    """Runs a module, again where a test ended the interpreter, until each of its tests has an outcome."""
    outcomes: dict[str, Outcome] = {}
    for _ in range(REPEATS):
        task = {"module": module, "seconds": LAST_START, "done": list(outcomes), "only": only}
        (folder / "task.json").write_text(json.dumps(task))
        try:
            limit = TIMEOUT + 30 if only is None else WITNESS_TIMEOUT
            ended = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit)
            code, printed, errors = ended.returncode, ended.stdout, ended.stderr
        except subprocess.TimeoutExpired as late:
            code, printed, errors = 124, late.stdout or b"", late.stderr or b""
        running = last = None
        known = len(outcomes)
        for line in re.findall(r"^@@(\[.*\])$", printed.decode(errors="replace"), re.M):
            test, last, reason, where, seconds = json.loads(line)
            if last == "started":
                running = test
            elif test:
                outcomes[test] = Outcome(last, reason, where, seconds)
                running = None
        if last == "end":
            return outcomes
        # The note about a module that a test tried to import says nothing about the end.
        lines = [line for line in errors.decode(errors="replace").splitlines() if line.strip() and "it needs the module" not in line]
        said = " ".join((lines or ["it printed nothing"])[-1].split())[:300]
        if running is not None:
            reason = report.LATE if code == 124 else f"ended the interpreter ({code}): {said}"
            outcomes[running] = Outcome("failed", reason)
        elif len(outcomes) == known:
            outcomes[f"{module} (as a whole)"] = Outcome("failed", f"ended with {code}: {said}")
            return outcomes
    return outcomes


def version_of(command: "list[str]", folder: pathlib.Path) -> str:
    """Returns how a Python describes itself, with its date."""
    text = "import platform, sys\nprint('@@' + platform.python_version(), *platform.python_build(), sys.platform, f'{sys.maxsize.bit_length() + 1} bits', sep=', ')\n"
    (folder / "run_module.py").write_text(text)
    (folder / "test").mkdir()
    (folder / "task.json").touch()
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout
    found = re.search(r"@@(.*)", said)
    if not found:
        raise CannotRun(f"{command[0]} does not run: it printed {said!r}")
    return found[1]


def witnesses(given: "list[str]") -> "dict[str, list[str]]":
    """Returns the commands of the witnesses that are there, by name."""
    found = {}
    for python in given:
        asked = [python, "-c", "import platform; print(platform.python_version())"]
        try:
            said = subprocess.run(asked, capture_output=True, text=True)
        except OSError:
            continue
        if said.returncode == 0:
            found[f"CPython {said.stdout.strip()}"] = [python, "run_module.py"]
    if shutil.which("node") and shutil.which("npm"):
        KEPT.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(KEPT), PYODIDE]
        if subprocess.run(command, capture_output=True).returncode == 0:
            shutil.copy(HERE / "pyodide.mjs", KEPT)
            found["Pyodide"] = ["node", str(KEPT / "pyodide.mjs")]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switchtower", default=str(ROOT / "target" / "release" / "switchtower"))
    parser.add_argument("--python", default="python3.11", help="the CPython to compare with, of the tests' version")
    parser.add_argument("--witness", nargs="*", default=["python3.12", "python3.13"], help="other CPythons")
    parser.add_argument("--tests", help=f"the folder `test` of {PACKAGE}")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write the result into tests/parity.md")
    parser.add_argument("--check", action="store_true", help="compare the result with tests/parity.md")
    parser.add_argument("--render", action="store_true", help="do not run: take the outcomes that the last run kept")
    parser.add_argument("modules", nargs="*", default=MODULES)
    arguments = parser.parse_args()
    try:
        compare(arguments)
    except CannotRun as error:
        print(error, file=sys.stderr)
        sys.exit(CANNOT_RUN)


def compare(arguments: argparse.Namespace) -> None:
    kept = KEPT / "outcomes.json"
    before = {name: Side.read(side) for name, side in json.loads(kept.read_text()).items()} if kept.is_file() else {}
    if arguments.render:
        sides = before
    elif arguments.check:
        sides = run_all(arguments, {}, None)
    else:
        # What was run before stands for the modules that are not run now.
        sides = run_all(arguments, before, kept)
        arguments.modules = MODULES
    rules = tomllib.loads((HERE / "causes.toml").read_text())["cause"]
    for side in sides.values():
        side.modules = {module: side.modules[module] for module in arguments.modules if module in sides["guest"].modules}
    found = report.differences(sides, rules)
    if arguments.check:
        changes = report.changes(PARITY.read_text(), sides, found)
        print(*changes or ["as tests/parity.md says"], sep="\n")
        sys.exit(1 if changes else 0)
    text = report.text(sides, found)
    if arguments.write:
        before = PARITY.read_text().partition(report.HEADING)[0].rstrip("\n")
        PARITY.write_text(f"{before}\n\n{text}")
        for rule in rules:
            if not rule.get("used"):
                print(f"a rule that explains nothing: {rule['said']}", file=sys.stderr)
    else:
        print(text)


def run_all(arguments: argparse.Namespace, before: "dict[str, Side]", kept: "pathlib.Path | None") -> "dict[str, Side]":
    """Runs the modules on both sides, and what differs by the witnesses. Keeps the outcomes in a file after each module."""
    # Debian has a few files of the package elsewhere; CPython itself may have them.
    asked = [arguments.python, "-c", "import test; print(*test.__path__)"]
    try:
        own = subprocess.run(asked, capture_output=True, text=True).stdout.split()
    except OSError as error:
        raise CannotRun(f"{arguments.python}: {error}") from None
    tests = [find_tests(arguments.tests), *KEPT.glob("usr/lib/python3*/test"), INSTALLED, *map(pathlib.Path, own)]
    guest = [str(pathlib.Path(arguments.switchtower).resolve()), "run", "--quiet", "--tier", "wasm", "--timeout", f"{TIMEOUT}s"]
    guest += ["--memory-mb", "512", "--file", "test", "--file", "task.json", "run_module.py"]
    commands = {"native": [arguments.python, "run_module.py"], "guest": guest}
    # What a witness says is not needed to see that something differs.
    others = {} if arguments.check else witnesses(arguments.witness)
    sides, writing = {}, threading.Lock()
    for name, command in {**commands, **others}.items():
        with tempfile.TemporaryDirectory() as folder:
            sides[name] = Side(version_of(command, pathlib.Path(folder)), before[name].modules if name in before else {})

    def run_module(module: str, command: "list[str]", only: "list[str] | None" = None) -> "dict[str, Outcome]":
        with tempfile.TemporaryDirectory() as folder:
            copy_module(tests, module, pathlib.Path(folder))
            return run(command, module, pathlib.Path(folder), only)

    def compare_module(module: str) -> None:
        ran = {name: run_module(module, command) for name, command in commands.items()}
        differing = report.differing(ran["native"], ran["guest"])
        # A witness says nothing of time.
        asked = [test for test in differing if ran["guest"].get(test, report.ABSENT).reason != report.LATE]
        ran |= {name: run_module(module, command, asked) if asked else {} for name, command in others.items()}
        with writing:
            for name, outcomes in ran.items():
                sides[name].modules[module] = outcomes
        print(f"{module}: {len(ran['native'])} tests, {len(differing)} differ", file=sys.stderr, flush=True)
        if kept:
            KEPT.mkdir(parents=True, exist_ok=True)
            with writing:
                kept.write_text(json.dumps({name: side.write() for name, side in sides.items()}, indent=1))

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(compare_module, arguments.modules))
    return sides


if __name__ == "__main__":
    main()
