"""Moves the sessions in this folder from one native Python to others and compares their state before and after.

    python3 check.py [--local PYTHON] [--cloud PYTHON ...] [case ...]

A case is a file of cells, with `# %%` before each. The last cell runs on both sides after the move and must give equal results.
`# %% given notes.txt=text` writes a file before a cell, and `# %% env NAME=value` sets a variable for one cell. A line `# impure`
marks a cell that uses clock, randomness, environment or identity (a real host observes this), `# cut` a cell that a real host
would report as incomplete: it is not run again.
The first line is the expectation: `# moves`, `# moves: x, y` (these names are transferred) or `# fails: cell 3: words`.
A second line `# needs sympy` allows a failure on a cloud side that lacks this module; a line `# packages: numpy pandas` names
modules without which a case is left out (`native`: the first tier is native, with threads and a Python like that of the other).
`--local guest:SWITCHTOWER` runs the local side in the guest, by this binary.
The cloud kernel is IPython's shell; for `plain:PYTHON` it is a minimal notebook without IPython.
"""

import sys

sys.path.pop(0)  # the cases beside this script are not modules

import argparse
import ast
import asyncio
import base64
import contextlib
import importlib
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import time
import types

# Cells may replace functions of the module.
json = types.SimpleNamespace(**vars(json))

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
PYTHON = ROOT + "/sandboxes/python"
# Folders with parts of the package `_switchtower`.
PACKAGE = [PYTHON + "/transfer/_switchtower", PYTHON + "/shared/_switchtower"]
WORK = "/tmp/switchtower-moves"
HOME = WORK + "/home"
AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def read(path):
    """Returns one case: its expectation and its cells."""
    with open(path) as file:
        head, *cells = file.read().split("# %%")
    described = []
    for number, cell in enumerate(cells, 1):
        options, _, code = cell.partition("\n")
        kind, _, rest = options.strip().partition(" ")
        name, _, value = rest.partition("=")
        described.append({
            "number": number, "code": code.rstrip("\n"), "raised": False, "incomplete": "# cut" in code,
            "pure": "# impure" not in code and "# cut" not in code,
            "env": {name: value} if kind == "env" else {},
            "changes": [{"path": name, "content": base64.b64encode(value.encode()).decode()}]
                       if kind == "given" else [],
        })
    expected, *rest = [line.lstrip("# ") for line in head.strip().splitlines()]
    needs = next((line.removeprefix("needs ") for line in rest if line.startswith("needs ")), None)
    packages = next((line.removeprefix("packages: ").split() for line in rest if line.startswith("packages: ")), [])
    name = os.path.basename(path)[:-3]
    return {"case": name, "expected": expected, "needs": needs, "packages": packages, "cells": described}


def without(case, python):
    """Returns the modules that a case needs and a Python lacks."""
    if python.startswith("guest:"):
        return case["packages"]
    names = [name for name in case["packages"] if name != "native"]
    code = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"
    found = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True) if names else None
    return found.stdout.split() if found else []


def reset_home():
    shutil.rmtree(HOME, ignore_errors=True)
    os.makedirs(HOME)
    os.chdir(HOME)
    if HOME not in sys.path:
        sys.path.insert(0, HOME)


class Notebook:
    """A minimal kernel, with the common functions of the guest's kernel and the stand-in's."""

    def __init__(self, file_name):
        self.main = types.ModuleType("__main__")
        self.user_ns, self.execution_count, self.file_name = self.main.__dict__, 0, file_name
        self.user_ns.update(In=[""], Out={}, get_ipython=lambda: self, display=print)
        sys.modules["__main__"] = self.main

    def run_cell(self, code, shown=True):
        self.execution_count += 1
        self.user_ns["In"].append(code)
        file = self.file_name(self.execution_count, code)
        importlib.import_module("linecache").cache[file] = (len(code), None, code.splitlines(True), file)
        tree = compile(code, file, "exec", ast.PyCF_ONLY_AST | AWAIT, True)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        value = self.evaluate(compile(tree, file, "exec", AWAIT, True))
        if last is not None:
            value = self.evaluate(compile(ast.Expression(last.value), file, "eval", AWAIT, True))
            if value is not None and shown:
                names = self.user_ns
                names["Out"][self.execution_count] = names[f"_{self.execution_count}"] = value
                names["___"], names["__"], names["_"] = names.get("__", ""), names.get("_", ""), value
        return value if last is not None else None

    def evaluate(self, code):
        value = eval(code, self.user_ns)
        if code.co_flags & inspect.CO_COROUTINE:
            return asyncio.get_event_loop().run_until_complete(value)
        return value


def observe(run, code):
    """Runs a cell and returns what it prints, its value and its exception."""
    printed = io.StringIO()
    value = raised = None
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        try:
            value = repr(run(code))
        except BaseException as error:
            raised = f"{type(error).__name__}: {error}"
    return {"printed": printed.getvalue(), "value": value, "raised": raised}


def local(case):
    reset_home()
    package = sys.modules.setdefault("_switchtower", types.ModuleType("_switchtower"))
    package.__path__ = PACKAGE
    # The guest's own module calls a real host.
    process_info = sys.modules["_switchtower.process_info"] = types.ModuleType("_switchtower.process_info")
    process_info.GIVEN = {}
    package.process_info = process_info
    state = importlib.import_module("_switchtower.state_transfer.export.state")
    state.remember_modules()
    importlib.import_module("_switchtower.own_modules").keep()
    environment = dict(os.environ)
    book = Notebook(lambda number, code: f"<cell {number}>")
    asyncio.set_event_loop(asyncio.new_event_loop())
    *cells, check = case["cells"]
    ended = []
    for cell in cells:
        for change in cell["changes"]:
            with open(change["path"], "wb") as file:
                file.write(base64.b64decode(change["content"]))
        os.environ.update(cell["env"])
        ended.append(observe(book.run_cell, cell["code"]))
        for name in cell["env"]:
            os.environ.pop(name, None)
        cell["raised"] = ended[-1]["raised"] is not None
    before = dict(book.user_ns)
    began = time.perf_counter()
    exported = state.export_state(json.dumps({"env": environment, "home": HOME, "max_bytes": 4 << 20}))
    took = time.perf_counter() - began
    assert list(before) == list(book.user_ns) and all(before[k] is book.user_ns[k] for k in before), "disturbed"
    shutil.rmtree(WORK + "/" + case["case"], ignore_errors=True)
    shutil.copytree(HOME, WORK + "/" + case["case"])
    data = {"cells": cells, "state": json.loads(exported), "time_limit_s": 20, "home": HOME, "files_in_use": False}
    return {"data": data, "ended": ended, "ms": took * 1000, "check": observe(book.run_cell, check["code"]),
            "size": len(exported)}


def guest(binary, case):
    """Runs the local side in the guest, as one program of Switchtower."""
    os.makedirs(WORK + "/given", exist_ok=True)
    given = {"check.txt": os.path.abspath(__file__), "case.json": WORK + "/given/case.json"}
    for part in PACKAGE:
        for folder, _, names in os.walk(part):
            for name in names:
                if name.endswith(".py"):
                    path = os.path.join(folder, name)
                    given[os.path.relpath(path, part).replace("/", "+") + ".txt"] = path
    for name, path in given.items():
        if name == "case.json":
            with open(path, "w") as file:
                json.dump(case, file)
        else:
            shutil.copy(path, f"{WORK}/given/{name}")
    program = (
        "import json, os, sys\n"
        "for name in os.listdir('.'):\n"
        "    if name.endswith('.py.txt'):\n"
        "        path = '/tmp/package/' + name[:-4].replace('+', '/')\n"
        "        os.makedirs(os.path.dirname(path), exist_ok=True)\n"
        "        open(path, 'w').write(open(name).read())\n"
        "sys.path.insert(0, '/nowhere')\n"
        "check = {'__file__': '/tmp/a/b/c/check.py', '__name__': 'check'}\n"
        "exec(open('check.txt').read(), check)\n"
        "case = json.load(open('case.json'))\n"
        "check['PACKAGE'] = ['/tmp/package']\n"
        "answer = json.dumps(check['local'](case))\n"
        "_ = sys.stdout.write('ANSWER' + answer)\n")
    files = [part for name in given for part in ("--file", f"{WORK}/given/{name}")]
    ran = subprocess.run([binary, "run", "--tier", "wasm", "--memory-mb", "1000", *files, "-c", program],
                         capture_output=True, text=True)
    shutil.rmtree(WORK + "/" + case["case"], ignore_errors=True)
    os.makedirs(WORK + "/" + case["case"])
    answer = ran.stdout.partition("ANSWER")[2]
    return json.loads(answer) if answer else {"broken": ran.stdout[-500:] + ran.stderr[-1500:]}


def restore_sources():
    """Returns the names and sources of the modules of the restore, in the order in which the host sends them."""
    with open(ROOT + "/crates/core/src/session/state_transfer/sources.rs") as file:
        names = list(dict.fromkeys(re.findall(r"/restore/(\w+)\.py", file.read())))
    folder = PYTHON + "/transfer/_switchtower/state_transfer/restore"
    return [(name, open(f"{folder}/{name}.py").read()) for name in names]


def cloud(case, plain):
    reset_home()
    asyncio.set_event_loop(asyncio.new_event_loop())
    path = WORK + "/move.json"
    with open(path, "w") as file:
        json.dump(case["data"], file)
    sources = restore_sources()
    hidden = ("_switchtower_restore = {}\n"
              f"exec({json.dumps(dict(sources)['modules'])}, _switchtower_restore)\n"
              f"_switchtower_restore = _switchtower_restore['load']('_switchtower_restore', {json.dumps(sources)})\n"
              f"print(_switchtower_restore.restore.restore({path!r}))\n")
    if plain:
        shell = Notebook(lambda number, code: f"/tmp/ipykernel_{os.getpid()}/{abs(hash(code))}.py")
        run = shell.run_cell
    else:
        from IPython.core.interactiveshell import InteractiveShell

        shell = InteractiveShell.instance()
        shell.history_manager.enabled = False

        def run(code):
            for name in ("start_displayhook", "write_output_prompt", "write_format_data", "finish_displayhook"):
                setattr(shell.displayhook, name, lambda *_: None)
            result = asyncio.get_event_loop().run_until_complete(
                shell.run_cell_async(code, store_history=True, transformed_cell=shell.transform_cell(code)))
            if result.error_before_exec or result.error_in_exec:
                raise result.error_before_exec or result.error_in_exec
            return result.result

    names = set(shell.user_ns)
    restored = observe(run, hidden)
    if restored["raised"]:
        return {"verdict": {"ok": False, "reason": "restore raised " + restored["raised"]}}
    try:
        verdict = json.loads(restored["printed"])
    except ValueError:
        return {"verdict": {"ok": False, "reason": "restore printed " + restored["printed"]}}
    shutil.copytree(WORK + "/" + case["case"], HOME, dirs_exist_ok=True)
    left = [name for name in set(shell.user_ns) - names if "switchtower" in name]
    assert not left, left
    return {"verdict": verdict, "check": observe(run, case["check"]) if verdict["ok"] else None}


def in_child(function, *arguments):
    """Runs a function in a forked process, one for each case."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        try:
            answer = function(*arguments)
        except BaseException:
            answer = {"broken": importlib.import_module("traceback").format_exc()}
        with os.fdopen(into, "w") as file:
            json.dump(answer, file)
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as file:
        answer = file.read()
    os.waitpid(child, 0)
    return json.loads(answer or '{"broken": "the process ended"}')


def side(job_file):
    """Runs a job in this Python. The job and the answers are files."""
    with open(job_file) as file:
        job = json.load(file)
    if job["side"] == "cloud" and not job["plain"]:
        import IPython.core.interactiveshell  # noqa: F401
    answers = []
    for case in job["cases"]:
        code = case["code_check"] if job["side"] == "cloud" else None
        if job["side"] == "local":
            answers.append(in_child(local, case))
        else:
            answers.append(in_child(cloud, {**case, "check": code}, job["plain"]))
    with open(job_file + ".out", "w") as file:
        json.dump(answers, file)


def run_side(python, seed, job):
    path = WORK + "/job.json"
    with open(path, "w") as file:
        json.dump(job, file)
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    subprocess.run([python, os.path.abspath(__file__), "--side", path], check=True, env=environment)
    with open(path + ".out") as file:
        return json.load(file)


def judge(case, local_result, cloud_result):
    """Returns what is wrong, or None."""
    verdict, expected = cloud_result["verdict"], case["expected"]
    if expected.startswith("fails"):
        _, cell, words = (part.strip() for part in expected.split(":", 2))
        if verdict["ok"]:
            return f"moved, transferring {verdict['transferred']}"
        message = f"{verdict.get('name')} {verdict['reason']}"
        if f"cell {verdict.get('cell')}" != cell or words not in message:
            return f"failed for another reason: {verdict}"
        return None
    if not verdict["ok"]:
        if case["needs"] and f"No module named '{case['needs']}'" in verdict["reason"]:
            return None
        return f"did not move: {verdict}"
    wanted = {name.strip() for name in expected.partition(":")[2].split(",") if name.strip()}
    if not wanted <= set(verdict["transferred"]):
        return f"transferred only {verdict['transferred']}"
    if local_result["check"] != cloud_result["check"]:
        return f"results differ:\n    local {local_result['check']}\n    cloud {cloud_result['check']}"
    return None


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--side")
    options.add_argument("--local", default=sys.executable)
    options.add_argument("--cloud", action="append")
    options.add_argument("-v", action="store_true")
    options.add_argument("cases", nargs="*")
    options = options.parse_args()
    if options.side:
        return side(options.side)
    os.makedirs(WORK, exist_ok=True)
    names = sorted(name for name in os.listdir(HERE) if name.endswith(".py") and name != "check.py")
    paths = [os.path.join(HERE, name) for name in names]
    cases = [case for case in map(read, paths) if not options.cases or case["case"] in options.cases]
    if skipped := [case["case"] for case in cases if without(case, options.local)]:
        print(f"left out, for their packages are missing: {', '.join(skipped)}")
        cases = [case for case in cases if case["case"] not in skipped]
    if options.local.startswith("guest:"):
        local_results = [guest(options.local.removeprefix("guest:"), case) for case in cases]
    else:
        local_results = run_side(options.local, 0, {"side": "local", "cases": cases})
    wrong = 0
    for case, local_result in zip(cases, local_results):
        if "broken" in local_result:
            print(f"{case['case']}: the local side failed\n{local_result['broken']}")
            wrong += 1
    good = [(case, local_result) for case, local_result in zip(cases, local_results) if "broken" not in local_result]
    for python in options.cloud or ["plain:" + sys.executable]:
        plain = python.startswith("plain:")
        sent = [{**local_result, "case": case["case"], "code_check": case["cells"][-1]["code"]} for case, local_result in good]
        cloud_results = run_side(python.removeprefix("plain:"), 7, {"side": "cloud", "plain": plain, "cases": sent})
        slow = []
        for (case, local_result), cloud_result in zip(good, cloud_results):
            problem = cloud_result["broken"] if "broken" in cloud_result else judge(case, local_result, cloud_result)
            slow.append(cloud_result.get("verdict", {}).get("ms", 0))
            if problem:
                wrong += 1
                print(f"{case['case']} -> {python}: {problem}")
            elif options.v:
                times = f"export {local_result['ms']:.1f} ms, restore {slow[-1]} ms"
                print(f"{case['case']} -> {python}: {times}, {cloud_result['verdict']}")
        print(f"{python}: {len(good)} cases, restore median {sorted(slow)[len(slow) // 2]} ms")
    times = sorted(local_result["ms"] for _, local_result in good)
    print(f"export median {times[len(times) // 2]:.2f} ms; {wrong} wrong")
    return wrong


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
