#!/usr/bin/env python3
"""Runs CPython's own test modules in CPython and in the WebAssembly tier, and writes what differs into `tests/parity.md`.

    python3 tests/cpython/compare.py --switchtower target/release/switchtower --write

The test modules are those of Debian's package libpython3.11-testsuite: installed, in the folder `--tests`, or fetched with
apt-get into `target/cpython-tests`. `--python` must be of the same version. In place of `test.support` stands the folder
`support` beside this file.
"""

import argparse
import collections
import concurrent.futures
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGE = "libpython3.11-testsuite"
INSTALLED = pathlib.Path("/usr/lib/python3.11/test")
PARITY = ROOT / "tests" / "parity.md"
HEADING = "## CPython's own tests\n"
# Seconds for a module.
TIMEOUT = 240
# How often the rest of a module is run after a test that ended the interpreter.
REPEATS = 6

MODULES = """
test_builtin test_unicode test_str_format test_string_literals test_fstring test_int test_long test_float test_complex test_bool
test_list test_tuple test_range test_slice test_dict test_dictviews test_userdict test_set test_bytes test_array test_json test_re
test_datetime test_time test_calendar test_zoneinfo test_decimal test_fractions test_math test_cmath test_collections
test_defaultdict test_deque test_ordered_dict test_itertools test_functools test_operator test_dataclasses test_enum test_typing
test_io test_memoryio test_csv test_struct test_textwrap test_string test_random test_statistics test_heapq test_bisect test_copy
test_pickle test_pprint test_contextlib test_contextlib_async test_asyncgen test_coroutines test_generators test_iter test_lambda
test_exceptions test_descr test_class test_super test_property test_scope test_closures test_unpack test_patma test_sort
test_base64 test_hashlib test_html test_difflib test_graphlib test_ipaddress test_uuid test_argparse test_configparser
test_shlex test_types test_abc test_weakref test_augassign test_compare test_format test_grammar test_named_expressions
""".split()

# Causes of differences: what the reason of a failure has, or the name of its test.
CAUSES = [
    (r"tzset|TZ|tm_gmtoff|tm_zone|tzname|localtime|astimezone", "the zone of the guest is always UTC: WASI has no time zones"),
    (r"ended the interpreter", "the interpreter ended"),
    (r"took longer", "it takes longer than the time limit"),
    (r"thread|Thread", "the guest has no threads"),
    (r"[Pp]rocess|fork|Popen|os\.pipe", "the guest has no other processes"),
    (r"symlink|link|chmod|[Pp]ermission|umask|O_NONBLOCK|fcntl|file descriptor|fileno|dup", "the guest's files are its own, without links and permissions"),
    (r"socket|connect", "the guest has no network"),
    (r"locale", "the guest has the locale C alone"),
    (r"No module named '_?(testcapi|ctypes|lzma|bz2|ssl|testinternalcapi|curses|readline)", "a module in C that WASI lacks"),
    (r"MemoryError|OverflowError|maxsize|ssize_t|32|too large to convert", "32 bits: sizes and machine integers are narrower"),
    (r"DeprecationWarning|deprecat|removed|has no attribute|cannot import name|unexpected keyword|not found in|No module named", "CPython 3.14: a name was removed or added, or warns"),
    (r"SyntaxError|does not match|Regex|!=|not equal|Lists differ|Tuples differ|Dict|not raised|is not", "CPython 3.14: a message, a representation or a rule has changed"),
]


def find_tests(given: "str | None") -> pathlib.Path:
    """Returns the folder of the test modules."""
    for folder in [pathlib.Path(given)] if given else [INSTALLED, *(ROOT / "target" / "cpython-tests").glob("usr/lib/python3*/test")]:
        if (folder / "test_exceptions.py").is_file():
            return folder
    if given:
        sys.exit(f"{given} has no test_exceptions.py: name the folder `test` of {PACKAGE}")
    into = ROOT / "target" / "cpython-tests"
    into.mkdir(parents=True, exist_ok=True)
    for command in (["apt-get", "download", PACKAGE], ["sh", "-c", f"dpkg-deb -x {PACKAGE}_*.deb ."]):
        if subprocess.run(command, cwd=into).returncode:
            sys.exit(f"{PACKAGE} could not be had: install it, or name its folder with --tests")
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
        elif (tests / f"{name}.py").is_file():
            shutil.copy(tests / f"{name}.py", package)
            texts = [(tests / f"{name}.py").read_text(errors="replace")]
        else:
            continue
        for text in texts:
            left += re.findall(r"\btest\.(\w+)", text)
            for names in re.findall(r"from test import (\([^)]*\)|.*)", text):
                left += re.findall(r"\w+", re.sub(r" as \w+", "", names))
    shutil.copy(HERE / "run_module.py", into)


def run(command: "list[str]", module: str, folder: pathlib.Path) -> "dict[str, tuple[str, str]]":
    """Runs a module until no test ends the interpreter. Returns the outcome and the reason of each test."""
    outcomes: dict[str, tuple[str, str]] = {}
    for _ in range(REPEATS):
        (folder / "module.txt").write_text("\n".join([module, *outcomes]) + "\n")
        try:
            ended = subprocess.run(command, cwd=folder, capture_output=True, timeout=TIMEOUT + 60)
            code, printed = ended.returncode, ended.stdout.decode(errors="replace")
            errors = ended.stderr.decode(errors="replace")
        except subprocess.TimeoutExpired as ended:
            code, printed, errors = 124, (ended.stdout or b"").decode(errors="replace"), ""
        running = None
        for line in re.findall(r"@@(\[.*\])$", printed, re.M):
            test, outcome, reason = json.loads(line)
            running = test if outcome == "started" else None
            if outcome != "started":
                outcomes[test] = outcome, reason
        if running is None:
            if code or not outcomes:
                last = errors.strip().splitlines()[-1:] or ["it printed nothing"]
                outcomes.setdefault(f"{module} (as a whole)", ("failed", last[0][:300]))
            return outcomes
        outcomes[running] = "failed", "took longer" if code == 124 else f"ended the interpreter ({code})"
        if code == 124:
            break
    return outcomes


def cause(test: str, reason: str) -> str:
    found = next((cause for pattern, cause in CAUSES if re.search(pattern, reason)), None)
    return found or next((cause for pattern, cause in CAUSES[:1] if re.search(pattern, test)), "not classified")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switchtower", default=str(ROOT / "target" / "release" / "switchtower"))
    parser.add_argument("--python", default="python3.11", help="the CPython to compare with")
    parser.add_argument("--tests", help=f"the folder `test` of {PACKAGE}")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write the result into tests/parity.md")
    parser.add_argument("modules", nargs="*", default=MODULES)
    arguments = parser.parse_args()
    # Debian has a few files of the package elsewhere; CPython itself may have them.
    asked = [arguments.python, "-c", "import test; print(*test.__path__)"]
    own = subprocess.run(asked, capture_output=True, text=True).stdout.split()
    tests = [find_tests(arguments.tests), *map(pathlib.Path, own)]
    guest = [str(pathlib.Path(arguments.switchtower).resolve()), "run", "--quiet", "--tier", "wasm", "--timeout", f"{TIMEOUT}s"]
    guest += ["--memory-mb", "512", "--file", "test", "--file", "module.txt", "run_module.py"]

    def compare(module: str) -> "tuple[str, dict, dict]":
        sides = []
        for command in ([arguments.python, "run_module.py"], guest):
            with tempfile.TemporaryDirectory() as folder:
                copy_module(tests, module, pathlib.Path(folder))
                sides.append(run(command, module, pathlib.Path(folder)))
        print(f"{module}: {len(sides[0])} tests", file=sys.stderr, flush=True)
        return module, sides[0], sides[1]

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        compared = list(pool.map(compare, arguments.modules))
    text = format_tables(compared)
    if arguments.write:
        before = PARITY.read_text().partition(HEADING)[0].rstrip("\n")
        PARITY.write_text(f"{before}\n\n{text}")
    else:
        print(text)


def format_tables(compared: "list[tuple[str, dict, dict]]") -> str:
    version = "3.11"
    rows, differences, totals = [], [], collections.Counter()
    for module, native, guest in compared:
        passed = {test for test, (outcome, _) in native.items() if outcome == "passed"}
        counts = collections.Counter()
        for test in passed:
            outcome, reason = guest.get(test, ("failed", "is not among the guest's tests"))
            counts[outcome] += 1
            if outcome == "failed":
                differences.append((module, test.removeprefix(f"test.{module}."), cause(test, reason), reason))
        counts["native"] = len(passed)
        totals.update(counts)
        rows.append((module, counts))
    rows.append(("all", totals))
    lines = [
        HEADING,
        f"The test modules of CPython {version} (Debian's `{PACKAGE}`), run in CPython {version} and in the guest, which is CPython 3.14, by",
        "`python3 tests/cpython/compare.py --write`. Counted are test methods that pass in CPython; those that need other processes or",
        "gigabytes are skipped in both.",
        "",
        "| module | pass in CPython | pass in the guest | skipped in the guest | differ |",
        "|---|---|---|---|---|",
    ]
    for module, counts in rows:
        lines.append(f"| {module} | {counts['native']} | {counts['passed']} | {counts['skipped']} | {counts['failed']} |")
    lines += ["", "| cause | tests |", "|---|---|"]
    for name, number in collections.Counter(found for _, _, found, _ in differences).most_common():
        lines.append(f"| {name} | {number} |")
    lines += ["", "| test | cause | what it said |", "|---|---|---|"]
    for module, test, found, reason in sorted(differences):
        said = re.sub(r"0x[0-9a-f]+", "0x…", reason)[:120].replace("|", "\\|").replace("`", "'")
        lines.append(f"| {module}: {test} | {found} | {said} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
