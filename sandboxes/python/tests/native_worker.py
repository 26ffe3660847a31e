"""Tests of the native worker's Python without its executable: `python3 native_worker.py`.

`SITE` names a folder of packages; tests that need one which is not installed are skipped. One prepared interpreter stands
for the zygote, and each case runs in a child of it. There is no jail here, and the working directory is a temporary one.
"""

import ast
import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import pickle
import re
import shutil
import signal
import sys
import tempfile
import types
import unittest

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = HERE.parent
HOME = tempfile.mkdtemp(prefix="switchtower-inside-", dir="/var/tmp")
PACKAGES = """
numpy pandas matplotlib.pyplot sympy scipy.stats scipy.optimize scipy.signal sklearn.linear_model sklearn.ensemble
sklearn.model_selection sklearn.datasets packaging.requirements PIL.Image pandas.plotting._matplotlib
""".split()

DATA, CHART = "application/vnd.e2b.data+json", "application/vnd.e2b.chart+json"


def embedded_files():
    """Returns name and text of the package's files, as the executable holds them."""
    files = {}
    for part in ("shared", "native", "transfer"):
        folder = PYTHON / part / "_switchtower"
        files.update({str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*.py")})
    # The one thing that differs here: where a program's own files are.
    files["paths.py"] = files["paths.py"].replace('HOME = "/home/user"', f"HOME = {HOME!r}")
    return files


class Moved(BaseException):
    """Another tier takes the program: here only in a test."""


def host():
    module = types.ModuleType("_switchtower_host")
    module.shown, module.lacked, module.moves = [], [], False

    def show(data, main):
        assert all(type(mime) is str and type(text) is str for mime, text in data), data
        os.write(1, f"\x01{len(module.shown)}".encode())
        module.shown.append((dict(data), main))

    def report_need(what, detail):
        module.lacked.append((what, detail))
        if module.moves:
            module.report(None)
            os._real_exit(0)

    module.show, module.report_need = show, report_need
    return module


def run_cell(entry, options, code, number, env, has_stdin, changes):
    return entry.run_cell(options=options, code=code, number=number, env=env, has_stdin=has_stdin, changes=changes)


class Ran:
    """What a child left."""

    def __init__(self, ending, shown, lacked, out, err):
        self.ending, self.shown, self.lacked, self.err = ending, shown, lacked, err
        # Where something was shown there is a mark in the stream; its number follows.
        self.stream, self.out = out, "".join(part[1:] if n else part for n, part in enumerate(out.split("\x01")))

    def __repr__(self):
        kinds = [sorted(data) for data, _ in self.shown]
        return f"{self.ending!r} shown={kinds} {self.lacked} out={self.out!r} err={self.err!r}"


def child(work, stdin=None, moves=False):
    """Runs `work` in a fork of this process that was born as a child of the zygote is."""
    with contextlib.ExitStack() as stack:
        return _child(
            work, stdin, moves, *(stack.enter_context(tempfile.TemporaryFile(dir="/var/tmp")) for _ in range(4))
        )


def _child(work, stdin, moves, out, err, given, returned):
    from _switchtower import entry

    host_module = sys.modules["_switchtower_host"]
    given.write((stdin or "").encode())
    given.seek(0)
    started = os.fork()
    if not started:
        os.environ["UNTOLD"] = "the host's own"
        for number, file in ((0, given), (1, out), (2, err)):
            os.dup2(file.fileno(), number)
        host_module.moves = moves

        def report(ending):
            pickle.dump((ending, host_module.shown, host_module.lacked), returned)
            returned.flush()

        host_module.report = report

        def leave(code):
            report(("left", code))
            os._real_exit(0)

        host_module.leave = leave
        entry.after_fork()
        report(work(entry))
        os._real_exit(0)
    _, status = os.waitpid(started, 0)
    for file in (out, err, returned):
        file.seek(0)
    try:
        ending, shown, lacked = pickle.load(returned)
    except EOFError:
        ending, shown, lacked = ("died", status), [], []
    return Ran(ending, shown, lacked, out.read().decode(), err.read().decode())


def run(code, files=(), env=None, stdin=None, moves=False):
    return child(
        lambda entry: entry.run_program(code=code, files=list(files), env=env, has_stdin=stdin is not None),
        stdin,
        moves,
    )


def cells(*codes, kernel_options=(None, None), **options):
    """The endings and changes of cells in one kernel."""

    def work(entry):
        ran = []
        for number, code in enumerate(codes, 1):
            given = {"env": {}, "changes": [], "interrupt": None} | (
                code if isinstance(code, dict) else {"source": code}
            )
            if given["interrupt"]:
                signal.setitimer(signal.ITIMER_REAL, given["interrupt"])
            ran.append(run_cell(entry, kernel_options if number == 1 else None, given["source"], number, given["env"],
                                  options.get("stdin") is not None, given["changes"]))  # fmt: skip
        return ran

    return child(work, **options)


def needs(*modules):
    """Skips a test where one of them could not be imported: known once the tests run."""

    def checked(test):
        @functools.wraps(test)
        def run(self):
            if absent := [name for name in modules if name not in sys.modules]:
                self.skipTest(f"not installed: {', '.join(absent)}")
            test(self)

        return run

    return checked


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        for name in os.listdir(HOME):
            path = os.path.join(HOME, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def finished(self, ran, code=0):
        self.assertEqual(ran.ending, ("finished", code), ran)
        return ran

    def prints(self, source, text, **options):
        self.assertEqual(self.finished(run(source, **options)).out, text)


class Zygote(Case):
    def test_what_warms_it_up_ends_as_it_should(self):
        from _switchtower import warmup

        raised = [ending[1] for ending in warmup.ended.values() if ending[0] == "raised"]
        expected = ["SyntaxError", "ZeroDivisionError", "NameError"]
        expected += (
            ["IndexError"] * ("numpy" in sys.modules) + ["KeyError"] * ("pandas" in sys.modules) + ["ZeroDivisionError"]
        )
        self.assertEqual(raised, expected, warmup.ended)


class Programs(Case):
    def test_a_program_prints_and_its_last_value_is_shown(self):
        ran = self.finished(run("print('a')\n[1, {'b': 2.5}]"))
        self.assertEqual(ran.stream, "a\n\x010")
        self.assertEqual(ran.shown, [({"text/plain": "[1, {'b': 2.5}]", "application/json": '[1,{"b":2.5}]'}, True)])

    def test_leaving_gives_the_code_that_a_shell_would_see(self):
        for source, code in (("import sys; sys.exit(3)", 3), ("exit(300)", 44), ("raise SystemExit", 0)):
            self.finished(run(source), code)
        self.assertEqual(run("print('said', flush=True)\nimport os\nos._exit(4)").ending, ("left", 4))
        self.assertEqual(run("import sys; sys.exit('over')").err, "over\n")

    def test_what_is_due_at_the_end_happens_after_threads_have_ended(self):
        self.prints(
            "import atexit, threading, time\natexit.register(print, 'last')\n"
            "threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()\n"
            "threading.Thread(target=lambda: time.sleep(60), daemon=True).start()\nprint('main')",
            "main\nthread\nlast\n",
        )

    def test_threads_pools_and_coroutines_work(self):
        self.prints(
            "import asyncio\nfrom concurrent.futures import ThreadPoolExecutor as P\n"
            "from multiprocessing.pool import ThreadPool\n"
            "with P(2) as p: print(list(p.map(abs, [-1, 2])))\nwith ThreadPool(2) as p: print(p.map(abs, [-3]))\n"
            "async def f(): await asyncio.sleep(0.01); return 5\nawait asyncio.sleep(0)\nprint(await f())",
            "[1, 2]\n[3]\n5\n",
        )

    def test_a_traceback_has_no_frame_of_ours(self):
        ending = run("import json\ndef f(s):\n    return json.loads(s)\nf('{')").ending
        self.assertEqual((ending[0], ending[1], ending[4]), ("raised", "JSONDecodeError", 3))
        first = f'Traceback (most recent call last):\n  File "{HOME}/main.py", line 4, in <module>\n'
        self.assertTrue(ending[3].startswith(first), ending[3])
        self.assertIn("json/decoder.py", ending[3])
        self.assertNotIn("switchtower", ending[3].replace(HOME, ""))
        self.assertNotIn("frozen", ending[3])
        self.assertEqual(run("x = (").ending[1], "SyntaxError")

    def test_a_program_sees_nothing_of_the_machines_environment(self):
        source = "import os, sys\nprint(sorted(os.environ), os.getcwd(), sys.argv, sys.path[0])\nprint(os.popen)"
        out = self.finished(run(source, env={"KEY": "v"})).out
        self.assertTrue(out.startswith(f"['HOME', 'KEY', 'LANG', 'PATH'] {HOME} ['{HOME}/main.py'] {HOME}\n"), out)

    def test_a_program_is_a_script_at_a_path(self):
        self.prints("\ufeffimport os\nprint('é', os.listdir())", "é []\n")
        self.prints("import os\nprint(__file__, os.listdir(), len(open(__file__).read()))",
                    f"{HOME}/main.py ['main.py'] 67\n")  # fmt: skip
        files = [("main.py", b"mine")]
        self.prints("print(open(__file__).read())", "mine\n", files=files)

    def test_what_was_written_before_a_program_was_killed_has_arrived(self):
        source = ("import os, signal, sys\nprint('ha', end='')\nsys.stdout.buffer.write(bytearray(b'lf'))\n"
                  "print('no', 'te', sep='', end='', file=sys.stderr)\nos.kill(os.getpid(), signal.SIGKILL)")  # fmt: skip
        ran = run(source)
        self.assertEqual((ran.out, ran.err), ("half", "note"))

    def test_a_module_of_the_programs_goes_before_one_that_is_loaded(self):
        files = [("random.py", b"MINE = 1"), ("json/data.py", b""), ("plain/leaf.py", b"Z = 2")]
        self.prints("import random, json, plain.leaf\nprint(random.MINE, json.dumps(1), plain.leaf.Z)", "1 1 2\n",
                    files=files)  # fmt: skip

    def test_files_that_are_given_lie_there_and_can_be_imported(self):
        files = [("mine.py", b"def f(): return 'mine'"), ("data/a.txt", b"text"), (HOME + "/b", b"b")]
        self.prints("import mine, os\nprint(mine.f(), open('data/a.txt').read(), sorted(os.listdir()))",
                    "mine text ['b', 'data', 'mine.py']\n", files=files)  # fmt: skip

    def test_input_is_read_and_ends(self):
        self.prints(
            "print(input('? '), input())\ntry: input()\nexcept EOFError: print('end')", "? a b\nend\n", stdin="a\nb"
        )

    def test_children_draw_different_numbers(self):
        source = "import random, tempfile\nprint(random.random(), tempfile.mktemp())"
        if "numpy" in sys.modules:
            source += "\nimport numpy as np\nprint(np.random.rand(), np.random.default_rng().random())"
        ones, others = (self.finished(run(source)).out.split() for _ in range(2))
        for one, other in zip(ones, others):
            self.assertNotEqual(one, other)

    def test_there_is_no_memory_left_and_the_program_is_told_so(self):
        source = ("import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
                  "held = []\nwhile True: held.append(bytearray(1 << 20))")  # fmt: skip
        ending = run(source).ending
        self.assertEqual((ending[0], ending[1], ending[4]), ("raised", "MemoryError", 4), ending)

    def test_what_cannot_be_told_is_told_without(self):
        ending = run("class E(Exception):\n    def __str__(self): raise ValueError\nraise E").ending
        self.assertEqual(ending[:2], ("raised", "E"))


class Needs(Case):
    NEEDS = [
        ("import nowhere_to_be_found", "MODULE", "nowhere_to_be_found", "ModuleNotFoundError"),
        ("from nowhere.deep import x", "MODULE", "nowhere", "ModuleNotFoundError"),
        ("exec('import nowhere')", "MODULE", "nowhere", "ModuleNotFoundError"),
        ("open('/data/table.csv')", "FILES", "/data/table.csv", "FileNotFoundError"),
        ("import pathlib; pathlib.Path('/etc/nothing').read_text()", "FILES", "/etc/nothing", "FileNotFoundError"),
        ("import os; os.listdir('/data')", "FILES", "/data", "FileNotFoundError"),
        ("import os; os.makedirs('/proc/x/y')", "FILES", "/proc/x", "FileNotFoundError"),
        ("open('/proc/new', 'w')", "FILES", "/proc/new", "FileNotFoundError"),
        ("import sqlite3; sqlite3.connect('/data/x.db')", "FILES", "/data/x.db", "OperationalError"),
        ("import socket; socket.create_connection(('192.0.2.1', 80))", "NETWORK", "192.0.2.1:80", "OSError"),
        ("import socket; socket.gethostbyname('example.org')", "NETWORK", "example.org", "gaierror"),
        ("import urllib.request as u; u.urlopen('https://example.org/x')", "NETWORK", "example.org", "URLError"),
        ("import asyncio; asyncio.run(asyncio.open_connection('192.0.2.1', 80))", "NETWORK", "a socket", "OSError"),
        ("import subprocess; subprocess.run(['git', 'status'])", "PROCESS", "git status", "FileNotFoundError"),
        ("import subprocess; subprocess.check_output('id', shell=True)", "PROCESS", "id", "CalledProcessError"),
        ("import os; os.system('id')", "PROCESS", "id", 0),
        ("import os; os.fork()", "PROCESS", "os.fork", "PermissionError"),
        ("import os; os.kill(1, 9)", "PROCESS", "os.kill(1)", "PermissionError"),
        ("import multiprocessing as m; m.Process(target=print).start()",
         "PROCESS", "multiprocessing.Process", "PermissionError"),
        ("import multiprocessing as m; print(m.Pool(2).map(abs, [1]))",
         "PROCESS", "multiprocessing.Process", "PermissionError"),
        ("import multiprocessing as m\nif __name__ == '__main__': m.get_context('spawn').Process(target=print).start()",
         "PROCESS", "multiprocessing.Process", "PermissionError"),
    ]  # fmt: skip

    def test_a_need_is_named_and_then_the_program_sees_its_own_exception(self):
        for source, what, detail, exception in self.NEEDS:
            with self.subTest(source):
                ran = run(source)
                self.assertEqual((ran.lacked[:1], ran.ending[1]), ([(what, detail)], exception), ran)

    def test_where_another_tier_stands_ready_the_program_ends_there(self):
        for source, what, detail, _ in self.NEEDS:
            with self.subTest(source):
                ran = run(f"import atexit; atexit.register(print, 'never')\n{source}", moves=True)
                self.assertEqual((ran.ending, ran.lacked, ran.out), (None, [(what, detail)], ""), ran)

    @needs("packaging")
    def test_pip_is_answered_where_it_has_nothing_to_do_and_needs_a_process_otherwise(self):
        satisfied = "Requirement already satisfied: packaging>=20 in /usr/local/lib/python3/site-packages"
        answered = (
            """
import os, subprocess, sys
command = [sys.executable, "-m", "pip", "install", "packaging>=20"]
ran = subprocess.run(command, capture_output=True, text=True, check=True)
assert (ran.stdout[:-1].rpartition(" ")[0], ran.stderr) == (%r, ""), ran
assert subprocess.check_output("pip install -q 'packaging<900' 2>&1", shell=True) == b""
assert subprocess.check_call(command, stdout=subprocess.DEVNULL) == os.system("pip3 install packaging > /dev/null 2>&1") == 0
with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
    out, _ = process.communicate(b"", timeout=1)
    assert out.startswith(b"Requirement") and process.poll() == 0 and process.wait(1) == 0
open("wanted.txt", "w").write("# data\\npackaging\\npip\\n")
assert os.popen("pip install -r wanted.txt").read().count("satisfied") == 2
assert "packaging==" in subprocess.getoutput("pip freeze") and "packaging " in subprocess.getoutput("python3 -m pip list")
import pip
assert pip.main(["show", "-q", "packaging"]) == 0
subprocess.run(command)
"""
            % satisfied
        )
        ran = run(answered)
        self.assertEqual((ran.ending, ran.lacked), (("finished", 0), []), ran)
        self.assertTrue(ran.out.endswith(")\n") and satisfied in ran.out, ran)
        for command in ("pip install nothing-of-this-name", "pip install packaging==1.0", "pip install -e .", "pip uninstall -y packaging",
                        "pip install -r missing.txt", "pip download packaging", "pip install --force-reinstall packaging"):  # fmt: skip
            with self.subTest(command):
                ran = run(f"import subprocess\nprint(subprocess.run({command!r}, shell=True).returncode)")
                self.assertEqual((ran.lacked, ran.out), ([("PROCESS", command)], "1\n"), ran)

    @needs("packaging")
    def test_lines_of_pip_and_of_small_tools_run_as_a_shell_runs_them(self):
        version = importlib.metadata.version("packaging")
        satisfied = f"Requirement already satisfied: packaging in /usr/local/lib/python3/site-packages ({version})\n"
        missing = "ERROR: No matching distribution found for nothing-of-it\n"
        for command, out in (
            ("pip install -q packaging && echo ok", "ok\n"),
            (
                "pip install packaging pip | tail -1",
                satisfied.replace("packaging in", "pip in").replace(version, "25.3"),
            ),
            ("pip install packaging; pip install packaging", satisfied * 2),
            ("pip install packaging || echo no", satisfied),
            ("pip install nothing-of-it 2>/dev/null || echo no", "no\n"),
            ("pip install nothing-of-it 2>&1 | tail -n 1; echo then", missing + "then\n"),
            ("pip install nothing-of-it 2>/dev/null && echo no\ntrue", ""),
            ("pip list 2>/dev/null | grep -cE '^(packaging|pip) '", "2\n"),
            ("pip freeze | grep -v x | grep packaging==", f"packaging=={version}\n"),
            ("PIP_NO_INPUT=1 python3 -m pip install -q packaging && echo ok", "ok\n"),
            ("cd /tmp && pip install packaging", satisfied),
            ("bash -c 'pip install packaging'", satisfied),
            ("sh -c \"pip install -q 'packaging>1' && echo in\" && echo out", "in\nout\n"),
            ("sudo -H pip install packaging", satisfied),
            ("env A=1 pip install packaging", satisfied),
            ("python -u -m pip install packaging", satisfied),
            ("pip install packaging # the newest", satisfied),
            ("# first\npip install packaging\n\npip install packaging\n", satisfied * 2),
            ("pip install \\\n  -q \\\n  packaging &&\n echo 'a;b' \"c d\"", "a;b c d\n"),
            ("echo packaging > /dev/null; pip install packaging >/dev/null 2>&1; echo end", "end\n"),
            ("echo packaging | pip install -r /dev/stdin", satisfied),
            ("pip list | head -n 2 | tail -n +2 | grep -v -e -; false || echo end", "end\n"),
        ):
            with self.subTest(command):
                ran = run(
                    f"import subprocess\nprint(subprocess.run({command!r}, shell=True, stdout=subprocess.PIPE, text=True).stdout, end='')"
                )
                self.assertEqual((ran.ending, ran.out), (("finished", 0), out), ran)
                self.assertEqual(ran.lacked, [("PROCESS", "pip install nothing-of-it")] * command.count("nothing"), ran)
        ran = run("import subprocess\nprint(subprocess.getoutput('pip list | grep -i ^PACKAGING'))")
        self.assertEqual(ran.out.split(), ["packaging", version], ran)
        for command in ("pip install packaging && ls", "pip install $x", "pip install packaging > log", "pip install `x`",
                        "(pip list)", "pip list &", "cat <<E | pip list", "grep -r x .; pip list", "pip list | wc -l"):  # fmt: skip
            with self.subTest(command):
                self.assertEqual(run(f"import os\nos.system({command!r})").lacked, [("PROCESS", command)])

    @needs("packaging")
    def test_cells_run_pip_in_every_way_that_a_notebook_has(self):
        version = importlib.metadata.version("packaging")
        satisfied = f"Requirement already satisfied: packaging in /usr/local/lib/python3/site-packages ({version})\n"
        for cell, out in (
            ("for p in ['packaging', 'packaging']:\n    !pip install {p}\nprint(_exit_code)", satisfied * 2 + "0\n"),
            ("get_ipython().system('pip install packaging')", satisfied),
            ("print(get_ipython().getoutput('pip install packaging').n)", satisfied),
            ("get_ipython().run_line_magic('pip', 'install packaging')", satisfied),
            ("def f(name):\n    rows = !pip install $name | tail -1\n    print(rows.s)\nf('packaging')", satisfied),
            ("%%bash\npip install -q packaging\npip install packaging", satisfied),
            ("%%sh\npip install packaging | tail -1\necho ok", satisfied + "ok\n"),
            ("%pip install packaging", satisfied),
            ("pip install packaging", satisfied),
        ):
            with self.subTest(cell):
                ran = cells(cell)
                self.assertEqual((ran.ending[0].ending, ran.out, ran.lacked), (("finished", 0), out, []), ran)
        ran = cells("!pip uninstall -y packaging\nprint('on', _exit_code)")
        self.assertIn("ERROR: ", ran.out)
        self.assertTrue(ran.out.endswith("on 1\n"), ran)
        self.assertEqual(ran.lacked, [("PROCESS", "pip uninstall -y packaging")])

    @needs("packaging")
    def test_pip_reads_files_of_requirements_as_pip_does_and_never_waits_for_one(self):
        source = """
import os, subprocess
def pip(*words, **options):
    ran = subprocess.run(["pip", "install", *words], capture_output=True, text=True, timeout=20, **options)
    return ran.returncode, ran.stdout.replace("/usr/local/lib/python3/site-packages ", "")[:-1], ran.stderr
os.makedirs("deep/er")
open("deep/a.txt", "w", encoding="utf-8-sig").write("-r er/b.txt\\n--index-url https://example.org/simple\\n-c c.txt\\npip\\n")
open("deep/er/b.txt", "w").write("packaging \\\\\\n  >= 1 # comment\\n\\n# all\\nnothing-of-it; python_version < '3'\\n")
open("deep/c.txt", "w").write("packaging>2\\nunused<1\\n")
code, out, _ = pip("-r", "deep/a.txt")
lines = [line.rpartition(" (")[0] or line for line in out.splitlines()]
assert (code, lines) == (0, [
    "Requirement already satisfied: packaging>=1 in",
    "Ignoring nothing-of-it: markers 'python_version < \\"3\\"' don't match your environment",
    "Requirement already satisfied: pip in",
]), (code, out)
assert pip("packaging; python_version > '3.8'")[1].startswith("Requirement already satisfied: packaging in (")
assert pip("-Uq", "-rdeep/a.txt") == (0, "", "")
assert pip("-r", "/dev/stdin", input="packaging\\n")[1].startswith("Requirement already satisfied: packaging")
assert pip("-r", "deep/a.txt", cwd="deep")[0] == 1 and pip("-r", "er/b.txt", cwd="deep")[0] == 0
open("c.txt", "w").write("packaging<1\\n")
assert pip("packaging", "-c", "c.txt")[0] == 1
os.mkfifo("pipe")
open("long.txt", "w").write("packaging\\n" * 9000)
open("self.txt", "w").write("-r self.txt\\n")
for path in ("pipe", "/dev/zero", "deep", "long.txt", "self.txt", "missing.txt"):
    code, out, error = pip("-r", path)
    assert code == 1 and error.startswith("ERROR: ") and path in error, (code, out, error)
"""
        ran = run(source)
        self.assertEqual(ran.ending, ("finished", 0), ran)

    @needs("packaging")
    def test_pip_knows_its_commands_and_options(self):
        version = importlib.metadata.version("packaging")
        for command, part in (
            ("pip", "Usage:"), ("pip --help", "Usage:"), ("pip install --help", "Usage:"), ("pip -V", "pip 25.3 from"),
            ("pip -q install packaging", ""), ("pip --no-color --timeout 5 install -vU --dry-run packaging", "already satisfied"),
            ("pip install -f https://example.org packaging", "already satisfied"),
            ("pip install -U pip setuptools wheel", "Requirement already satisfied: setuptools in"),
            ("pip list --format=json", f'{{"name": "packaging", "version": "{version}"}}'),
            ("pip list -v", "Location"), ("pip freeze --all", "pip==25.3\n"), ("pip freeze", f"packaging=={version}\n"),
            ("pip cache purge", "Files removed: 0"), ("pip config list", ""), ("pip check", "No broken"),
            ("pip show packaging", f"Name: packaging\nVersion: {version}\nSummary: Core utilities"),
            ("pip show packaging", "\nRequires: \nRequired-by: "), ("pip show pip", "Name: pip\nVersion: 25.3"),
        ):  # fmt: skip
            with self.subTest(command):
                ran = run(f"import os\nprint(os.system({command!r}))")
                self.assertEqual((ran.ending, ran.lacked, ran.out[-2:]), (("finished", 0), [], "0\n"), ran)
                self.assertIn(part, ran.out)
                if not part:
                    self.assertEqual(ran.out, "0\n")
        if importlib.util.find_spec("cv2") is not None:
            self.assertIn(
                "already satisfied: opencv-python in", run("import os\nos.system('pip install opencv-python')").out
            )
        ran = run(
            "import os, shutil\nfor name in ('pip', 'pip3'):\n    assert os.system(f'{shutil.which(name)} -q check') == 0"
        )
        self.assertEqual((ran.ending, ran.lacked), (("finished", 0), []), ran)

    def test_a_line_for_the_shell_never_raises_and_ends_as_where_the_command_is_missing(self):
        said = "/bin/sh: 1: nowhere: not found\n"
        for source in (
            "import os\nprint(os.system('nowhere -x'))",
            "import subprocess\nprint(subprocess.run('nowhere -x', shell=True).returncode << 8)",
            "import subprocess\nprint(subprocess.call(['nowhere -x'], shell=True) << 8)",
        ):
            with self.subTest(source):
                ran = run(source)
                self.assertEqual((ran.ending, ran.lacked), (("finished", 0), [("PROCESS", "nowhere -x")]), ran)
                self.assertEqual((ran.out, ran.err), (f"{127 << 8}\n", said), ran)
        ran = run("import subprocess\nprint(subprocess.getstatusoutput('nowhere -x'))")
        self.assertEqual(ran.out, f"{(127, said[:-1])}\n", ran)
        for source in ("subprocess.run(['nowhere'])", "subprocess.run('pip list', shell=True, cwd='missing')"):
            with self.subTest(source):
                self.assertEqual(run(f"import subprocess\n{source}").ending[1], "FileNotFoundError")

    @needs("packaging")
    def test_answered_processes_can_be_waited_for(self):
        source = """
import asyncio, os, subprocess, sys, warnings
warnings.simplefilter("error")
async def main():
    made = asyncio.create_subprocess_exec(sys.executable, "-m", "pip", "install", "packaging", stdout=subprocess.PIPE)
    process = await made
    out, _ = await process.communicate()
    assert out.startswith(b"Requirement") and process.returncode == 0, (out, process.returncode)
    process = await asyncio.create_subprocess_shell("pip install -q nothing-of-it", stderr=subprocess.PIPE)
    assert await process.wait() == 1 and await process.stderr.read()
    process = await asyncio.create_subprocess_exec("pip", "install", "-r", "/dev/stdin", stdin=-1, stdout=-1)
    out, _ = await process.communicate(b"packaging")
    assert out.startswith(b"Requirement") and process.returncode == 0, (out, process.returncode)
asyncio.run(main())
first, second = subprocess.Popen(["pip", "-q", "check"]), subprocess.Popen("pip list | grep -q nothing", shell=True)
assert first.pid != second.pid
assert os.waitpid(second.pid, 0) == (second.pid, 1 << 8)
os.kill(first.pid, 15)
assert first.wait() == 0 and first.poll() == 0
waiting = subprocess.Popen(["pip", "install", "-r", "/dev/stdin"], stdin=-1, stdout=-1)
assert waiting.poll() is None
waiting.stdin.close()
assert waiting.wait() == 1
try:
    os.waitpid(first.pid, 0)
except ChildProcessError:
    print("gone")
"""
        ran = run(source)
        self.assertEqual((ran.ending, ran.out), (("finished", 0), "gone\n"), ran)
        self.assertNotIn("Warning", ran.err)

    def test_what_any_machine_would_refuse_is_no_need(self):
        for source in ("open('missing.txt')", "open('deep/missing.txt')", "import os; os.rmdir('nothing')", "1 / 0"):
            with self.subTest(source):
                ran = run(source)
                self.assertEqual((ran.ending[0], ran.lacked), ("raised", []))

    def test_what_libraries_only_try_is_no_need(self):
        for source in (
            "import importlib.util; importlib.util.find_spec('nowhere')",
            "import platform; platform.platform(); platform.processor()",
            "import uuid; uuid.uuid1()", "import socket; socket.socketpair()", "open('/dev/null', 'w').write('x')",
            "import zoneinfo, locale, mimetypes; mimetypes.guess_type('a.csv')",
            "open(__import__('json').__file__).read()",
            "import sqlite3; sqlite3.connect(':memory:')", "import os; os.kill(os.getpid(), 0)",
        ):  # fmt: skip
            with self.subTest(source):
                self.assertEqual(self.finished(run(source)).lacked, [])

    @needs("pandas")
    def test_a_file_that_a_library_is_to_read_is_a_need(self):
        ran = run("import pandas as pd; pd.read_csv('/data/sales.csv')")
        self.assertEqual((ran.lacked, ran.ending[1]), ([("FILES", "/data/sales.csv")], "FileNotFoundError"))

    @needs("pandas")
    def test_a_package_that_pandas_lacks_for_what_the_program_asks_is_a_need(self):
        ran = run("import pandas as pd; pd.DataFrame({'a': [1]}).to_markdown()")
        if ran.ending[0] == "finished":
            self.skipTest("tabulate is there")
        self.assertEqual(ran.lacked[:1], [("MODULE", "tabulate")], ran)

    @needs("sklearn")
    def test_work_that_could_be_spread_over_processes_is_done_in_this_one(self):
        source = ("import numpy as np\nfrom sklearn.ensemble import RandomForestClassifier as R\n"
                  "from sklearn.model_selection import cross_val_score as c\nx = np.arange(60.).reshape(30, 2)\n"
                  "y = np.arange(30) % 2\nprint(len(c(R(5, n_jobs=-1), x, y, n_jobs=-1, cv=3)))")  # fmt: skip
        ran = self.finished(run(source))
        self.assertEqual((ran.out, ran.lacked, ran.err), ("3\n", [], ""))


class Shown(Case):
    @needs("matplotlib.pyplot")
    def test_figures_are_shown_in_the_order_of_the_program_and_closed(self):
        ran = self.finished(run("import matplotlib.pyplot as plt\nprint('one')\nplt.plot([1, 2]); plt.show()\n"
                                "print('two', plt.get_fignums())\n"
                                "plt.figure(); plt.bar([1], [2])\nplt.title('last');"))  # fmt: skip
        self.assertEqual(ran.stream, "one\n\x010two []\n\x011")
        for data, _ in ran.shown:
            self.assertEqual(sorted(data), ["image/png", "text/plain"])
            self.assertTrue(data["image/png"].startswith("iVBOR") and "\n" not in data["image/png"])
        self.assertEqual(ran.shown[0][0]["text/plain"], "<Figure size 640x480 with 1 Axes>")

    @needs("matplotlib.pyplot")
    def test_figures_are_shown_after_an_exception_and_saved_where_the_program_wants(self):
        ran = run("import matplotlib.pyplot as plt, matplotlib\nmatplotlib.use('Agg')\nplt.plot([1])\n"
                  "plt.savefig('a.png')\nplt.savefig('a.svg')\n"
                  "import os\nprint(os.path.getsize('a.png') > 1000, matplotlib.get_backend().lower())\n"
                  "1/0")  # fmt: skip
        self.assertEqual((ran.out, [sorted(d) for d, _ in ran.shown]), ("True agg\n", [["image/png", "text/plain"]]))
        self.assertEqual(ran.err, "")

    @needs("matplotlib.pyplot")
    def test_a_figure_that_cannot_be_drawn_is_told_of_and_the_program_goes_on(self):
        ran = self.finished(run("import matplotlib.pyplot as plt\nplt.title('$\\\\frac{$')\nplt.show()\nprint('on')"))
        self.assertEqual(ran.out, "on\n")
        self.assertIn("ValueError", ran.err)
        self.assertNotIn("switchtower", ran.err)

    @needs("matplotlib.pyplot")
    def test_a_figure_is_a_value_too(self):
        ran = self.finished(
            run("import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nplt.close(fig)\ndisplay(fig)\nfig")
        )
        self.assertEqual([(sorted(d), m) for d, m in ran.shown],
                         [(["image/png", "text/plain"], False), (["image/png", "text/plain"], True)])  # fmt: skip

    @needs("pandas")
    def test_tables_are_html_and_text(self):
        data = self.finished(run("import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', None]})")).shown[0][0]
        self.assertEqual(sorted(data), ["text/html", "text/plain"])
        # Since pandas 3, text that is missing is not `None`.
        plain = (
            "   a    b\n0  1    x\n1  2  NaN"
            if sys.modules["pandas"].__version__ >= "3"
            else "   a     b\n0  1     x\n1  2  None"
        )
        self.assertEqual(data["text/plain"], plain)
        self.assertIn("<table", data["text/html"])

    @needs("sympy")
    def test_formulas_are_latex(self):
        data = self.finished(run("import sympy\nx = sympy.Symbol('x')\nx**2 / 3")).shown[0][0]
        self.assertEqual(data, {"text/plain": "x**2/3", "text/latex": "$\\displaystyle \\frac{x^{2}}{3}$"})

    @needs("PIL.Image")
    def test_pictures_are_pictures(self):
        data = self.finished(run("from PIL import Image\nImage.new('RGB', (4, 4))")).shown[0][0]
        self.assertIn("image/png", data)

    def test_display_is_there_under_every_name(self):
        source = ("display(1)\nfrom IPython.display import display, HTML, Image\ndisplay(HTML('<b>x</b>'))\n"
                  "class A:\n    def _repr_svg_(self): return '<svg/>'\nA()")  # fmt: skip
        shown = self.finished(run(source)).shown
        self.assertEqual([sorted(d)[-1] for d, _ in shown], ["text/plain"] * 3)
        self.assertEqual((shown[1][0]["text/html"], shown[2][0]["image/svg+xml"]), ("<b>x</b>", "<svg/>"))

    @needs("pandas", "numpy")
    def test_frames_of_libraries_are_told(self):
        traceback = run("import pandas as pd\npd.DataFrame({'a': [1]})['b']").ending[3]
        self.assertIn("pandas/core/frame.py", traceback)
        self.assertIn("KeyError: 'b'", traceback)
        self.assertNotIn("switchtower", traceback.replace(HOME, ""))


class Kernels(Case):
    def endings(self, ran):
        self.assertIsInstance(ran.ending, list, ran)
        return [ending for ending, _ in ran.ending]

    def test_cells_share_their_names_and_know_their_numbers(self):
        ran = cells("x = 20\nx + 1", "_ * 2", "def f(): return 1 / 0\nf()", "In[1], Out[1]")
        kinds = [ending[0] for ending in self.endings(ran)]
        self.assertEqual(kinds, ["finished", "finished", "raised", "finished"])
        self.assertEqual([d["text/plain"] for d, _ in ran.shown], ["21", "42", "('x = 20\\nx + 1', 21)"])
        traceback = self.endings(ran)[2][3]
        self.assertIn("Cell In[3], line 1, in f()\n----> 1 def f(): return 1 / 0", traceback)
        self.assertNotIn("switchtower", traceback.replace(HOME, ""))

    def test_cells_are_what_a_notebook_makes_of_them(self):
        folder = HERE.parents[3] / "tests" / "backend" / "cells"
        for file in sorted(folder.glob("*.py")):
            given = [self._expected(cell) for cell in file.read_text().split("# %%\n")[1:]]
            ran = cells(*(source for source, *_ in given))
            if not isinstance(ran.ending, list):
                self.fail(f"{file.name}: {ran}")
            # Where the streams of the cells end cannot be seen here, so all are compared at once.
            shown = [d["text/plain"] for d, main in ran.shown if main]
            with self.subTest(file.name):
                self.assertEqual(shown, [text for _, text, _, _ in given if text is not None])
                errors = [f"{end[1]}: {end[2]}".rstrip() for end in self.endings(ran) if end[0] == "raised"]
                self.assertEqual(errors, [error.rstrip() for *_, error, _ in given if error is not None])

    @staticmethod
    def _expected(cell):
        text = error = None
        stdout, lines = "", cell.split("\n")
        while lines and lines[0].startswith(("# text: ", "# stdout: ", "# error: ", "# none")):
            kind, _, expected = lines.pop(0)[2:].partition(": ")
            if kind == "text":
                text = json.loads(expected)
            elif kind == "error":
                error = expected
            elif kind == "stdout":
                stdout = json.loads(expected)
        return "\n".join(lines).removesuffix("\n"), text, error, stdout

    def test_an_interrupt_ends_the_cell_and_not_the_kernel(self):
        def late(entry):
            returned = run_cell(entry, (None, None), "x = 1", 1, {}, False, [])
            os.kill(os.getpid(), signal.SIGINT)
            return [returned, run_cell(entry, None, "x", 2, {}, False, [])]

        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        for busy in ("while True: pass", "import time; time.sleep(60)", "await __import__('asyncio').sleep(60)",
                     "try:\n    while True: pass\nfinally: y = 2"):  # fmt: skip
            with self.subTest(busy):
                ran = cells("x = 5", {"source": busy, "interrupt": 0.05}, "x")
                first, second, third = self.endings(ran)
                self.assertEqual(
                    (second[:2], third, ran.shown[0][0]["text/plain"]),
                    (("raised", "KeyboardInterrupt"), ("finished", 0), "5"),
                )
        ran = child(late)
        self.assertEqual(self.endings(ran), [("finished", 0)] * 2)

    def test_what_a_cell_made_of_the_files_is_told(self):
        made = [("a.txt", b"ab"), ("old", b"x"), ("gone/b", b"c"), ("made", True)]
        changes = [(f"{HOME}/{path}", content) for path, content in made]
        ran = cells(
            {"source": "import os, shutil\n"
                       "open('new/b', 'w').write(open('a.txt').read() * 2) if os.path.isdir('new')"
                       " else os.mkdir('new')",
             "changes": changes},
            "open('new/b', 'w').write('b'); open('a.txt', 'w').write('ba'); os.remove('old'); shutil.rmtree('gone')",
            "open('a.txt').read()", {"source": "", "changes": [(f"{HOME}/new", None)]}, "os.path.exists('new')",
        )  # fmt: skip
        returned = [[(path.removeprefix(HOME + "/"), content) for path, content in made] for _, made in ran.ending]
        self.assertEqual(returned[0], [("new", True)])
        self.assertEqual(
            sorted(returned[1], key=str),
            sorted([("old", None), ("gone", None), ("a.txt", b"ba"), ("new/b", b"b")], key=str),
        )
        self.assertEqual(returned[2:], [[], [], []])
        self.assertEqual(ran.shown[-1][0]["text/plain"], "False")

    def test_more_than_can_be_told_is_said(self):
        ran = cells("open('big', 'wb').truncate(100 << 20)\nopen('small', 'w').write('s');")
        self.assertEqual(ran.ending[0][1], [(f"{HOME}/small", b"s")])
        self.assertIn("1 file is kept in this kernel alone", ran.err)

    def test_a_module_that_a_cell_wrote_can_be_imported_at_once(self):
        ran = cells(
            "open('one.py', 'w').write('v = 1');",
            "import one; one.v",
            "open('two.py', 'w').write('v = 2');",
            "import two; two.v",
        )
        self.assertEqual([d["text/plain"] for d, _ in ran.shown], ["1", "2"])

    def test_variables_are_lent_and_the_working_directory_is_the_one_asked_for(self):
        ran = cells({"source": "import os\n[os.environ['A'], os.environ['B'], os.getcwd()]", "env": {"B": "cell"}},
                    "[os.environ['A'], 'B' in os.environ]", kernel_options=({"A": "kernel"}, HOME + "/deep"))  # fmt: skip
        self.assertEqual([json.loads(d["application/json"]) for d, _ in ran.shown],
                         [["kernel", "cell", HOME + "/deep"], ["kernel", False]])  # fmt: skip

    def test_input_needs_to_be_given(self):
        self.assertEqual(self.endings(cells("input()"))[0][1], "StdinNotImplementedError")
        self.assertEqual(cells("input()", stdin="a line").shown[0][0]["text/plain"], "'a line'")

    @needs("pandas", "matplotlib.pyplot")
    def test_a_cells_figures_come_after_its_value(self):
        ran = cells(
            "%matplotlib inline\nimport pandas as pd\ndf = pd.DataFrame({'a': [1, 2, 3]})\ndf.plot()",
            "df.describe()",
            "%config InlineBackend.figure_format = 'retina'",
        )
        for data, _ in ran.shown:
            for mime in (DATA, CHART):
                data.pop(mime, None)
        self.assertEqual([(sorted(d), main) for d, main in ran.shown],
                         [(["text/plain"], True), (["image/png", "text/plain"], False),
                          (["text/html", "text/plain"], True)])  # fmt: skip
        self.assertEqual(ran.lacked, [])

    def test_exit_changes_nothing_and_a_shell_that_is_not_there(self):
        self.assertEqual(cells("x = 1\nexit()\nprint(2)", "quit", "print(x)").out, "2\n1\n")
        self.assertEqual(cells("get_ipython().events").lacked, [("LANGUAGE", "IPython's shell: events")])
        self.assertEqual(cells("!ls", "%prun 1").lacked, [("PROCESS", "ls"), ("LANGUAGE", "%prun 1")])

    def test_own_code_sees_the_kernel_and_leaves_no_trace(self):
        def work(entry):
            run_cell(entry, (None, None), "x = 41", 1, {}, False, [])
            own = entry.run_internal(code="import sys\ny = sys.modules['__main__'].x + 1\ndisplay(y)\nprint(y)")
            return (
                own,
                entry.run_internal(code="1/0")[:2],
                run_cell(entry, None, "'y' in globals(), len(In)", 2, {}, False, [])[0],
            )

        ran = child(work)
        self.assertEqual(ran.ending, (("finished", 0), ("raised", "ZeroDivisionError"), ("finished", 0)))
        self.assertEqual(
            (ran.out.split("\n")[0], len(ran.shown), ran.shown[0][0]["text/plain"]), ("42", 1, "(False, 3)")
        )


STATE = [
    "import collections, random\ncount = collections.Counter('abca')\ndef f(x, seen=[]):\n    seen.append(x)\n"
    "    return len(seen)\nf(1)",
    "class P:\n    n = 0\n    def __init__(self): self.me = [self]\np = P(); P.n = 3\nshared = [1]; also = shared",
]
NUMERIC = [
    "import numpy as np, pandas as pd\nrng = np.random.default_rng(1)\na = np.arange(6.0).reshape(2, 3)\n"
    "view = a[:, 1:]\n"
    "s = np.float64(2.5); t = np.dtype([('x', 'i4'), ('y', 'f8')]); o = np.array(['x', None], object)\n"
    "from numpy.random import rand, seed",
    "df = pd.DataFrame({'i': [1, 2], 's': ['x', None], 'd': pd.to_datetime(['2024-01-01', None]), "
    "'c': pd.Categorical(['p', 'q'])})\n"
    "g = df.set_index('s'); column = df['i']; n = pd.array([1, None], dtype='Int64'); "
    "stamp = pd.Timestamp('2024-01-01'); nat = pd.NaT\n"
    "m = pd.MultiIndex.from_product([[1, 2], ['a']]); span = pd.period_range('2024-01', periods=2)",
]
UNLIKE = [
    "import numpy as np, pandas as pd, time\nrng = np.random.default_rng()\na = np.random.rand(2, 3)\n"
    "view = a[:, 1:]\nf = np.asfortranarray(a)",
    "df = pd.DataFrame({'x': rng.random(3), 'y': list('abc')})\n"
    "column = df['x']; when = pd.Timestamp.now(); legacy = np.random.RandomState()",
]


def restore_sources():
    """Returns name and text of the restoring modules, in the order in which the host sends them."""
    rust = (PYTHON.parents[1] / "crates" / "core" / "src" / "session" / "state_transfer" / "sources.rs").read_text()
    folder = PYTHON / "transfer" / "_switchtower" / "state_transfer" / "restore"
    names = dict.fromkeys(re.findall(r"/restore/(\w+)\.py", rust))
    return [(name, (folder / f"{name}.py").read_text()) for name in names]


class Packages(Case):
    @needs("pandas", "matplotlib.pyplot")
    def test_optional_packages_of_pandas_serve_it(self):
        absent = [
            name for name in ("pyarrow", "lxml", "jinja2", "openpyxl", "tabulate") if not importlib.util.find_spec(name)
        ]
        if absent:
            self.skipTest(f"not installed: {', '.join(absent)}")
        self.prints(
            "import io, pandas as pd\n"
            "df = pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})\n"
            "df.to_parquet('a.parquet'); df.to_feather('a.feather'); df.to_excel('a.xlsx', index=False)\n"
            "for read in (pd.read_parquet('a.parquet'), pd.read_feather('a.feather'), pd.read_excel('a.xlsx'),\n"
            "             pd.read_html(io.StringIO(df.to_html(index=False)))[0], pd.read_xml(io.StringIO(df.to_xml(index=False)))):\n"
            "    print(read.equals(df), end=' ')\n"
            "print(df.to_latex().split()[0], df.to_markdown().count('|'), '<style' in df.style.to_html())\n",
            "True True True True True \\begin{tabular}{lrl} 16 True\n",
        )

    def test_plotly_shows_its_figures_without_a_browser(self):
        if not importlib.util.find_spec("plotly"):
            self.skipTest("not installed: plotly")
        ran = cells("import plotly.graph_objects as go\nfig = go.Figure(go.Bar(y=[1, 2]))\nfig", "fig.show()")
        self.assertEqual([ending[0] for ending, _ in ran.ending], ["finished"] * 2)
        figures = [data for data, _ in ran.shown if "application/vnd.plotly.v1+json" in data]
        self.assertEqual(len(figures), 2)
        for data in figures:
            self.assertEqual(json.loads(data["application/vnd.plotly.v1+json"])["data"][0]["type"], "bar")
            self.assertIn("<div", data["text/html"])
        self.assertEqual([need for need, _ in ran.lacked if need != "FILES"], [])

    def test_what_is_not_preloaded_is_not_loaded(self):
        for name in ("pyarrow", "numba", "cv2", "plotly", "bokeh", "IPython.core.ultratb", "nltk"):
            self.assertNotIn(name, sys.modules)


class ResultData(Case):
    """What E2B's SDK offers as `.chart`, `.data` and `.json` of a result."""

    def charts(self, *codes):
        ran = cells(*(f"import matplotlib.pyplot as plt, numpy as np\n{code}\nplt.show()" for code in codes))
        for ending, _ in ran.ending:
            self.assertEqual(ending, ("finished", 0), ran)
        return [json.loads(data[CHART]) for data, _ in ran.shown]

    @needs("e2b_charts")
    def test_a_figure_has_its_chart(self):
        line, bar, pie, scatter, box, several, unknown = self.charts(
            "plt.plot([1, 2], [3, 4], label='a'); plt.title('t'); plt.xlabel('time (s)')",
            "plt.bar(['x', 'y'], [1, 2], label='g')",
            "plt.pie([3, 1], labels=['x', 'y'])",
            "plt.scatter(np.array([1, 2]), np.array([3, np.nan]))",
            "plt.boxplot([[85, 90, 78, 92, 88], [75, 82, 88, 79, 86]], patch_artist=True)",
            "fig, axes = plt.subplots(1, 2); axes[0].plot([1]); axes[1].bar([1], [2]); fig.suptitle('two')",
            "plt.gca().add_artist(plt.Circle((0, 0), 1)); plt.plot([1]); plt.title('circle')",
        )
        self.assertEqual((line["type"], line["title"], line["x_unit"]), ("line", "t", "s"))
        self.assertEqual(line["elements"], [{"label": "a", "points": [[1, 3], [2, 4]]}])
        self.assertEqual(bar["elements"], [{"label": "x", "group": "g", "value": 1.0},
                                           {"label": "y", "group": "g", "value": 2.0}])  # fmt: skip
        self.assertEqual([(part["label"], part["angle"]) for part in pie["elements"]], [("x", 270), ("y", 90)])
        self.assertEqual(scatter["elements"][0]["points"], [[1, 3], [None, None]])
        self.assertEqual([part["median"] for part in box["elements"]], [88, 82])
        self.assertEqual((several["type"], several["title"]), ("superchart", "two"))
        self.assertEqual([chart["type"] for chart in several["elements"]], ["line", "bar"])
        self.assertEqual((unknown["type"], unknown["elements"]), ("unknown", []))

    @needs("e2b_charts")
    def test_a_chart_that_cannot_be_read_is_empty_and_the_picture_is_there(self):
        ran = cells(
            "import matplotlib.pyplot as plt\nax = plt.gca(); ax.plot([1])\nax.get_title = lambda: 1 / 0\nplt.show()"
        )
        self.assertEqual((ran.shown[0][0][CHART], ran.err), ("{}", ""))
        self.assertIn("image/png", ran.shown[0][0])

    @needs("pandas")
    def test_a_table_has_its_columns(self):
        ran = cells("import pandas as pd\npd.DataFrame({'a': [1, 2], 2: [0.5, None], 'd': pd.to_datetime(['2024-01-02', None])})",
                    "pd.DataFrame({'a': [complex(1, 2)]})", "1")  # fmt: skip
        columns = json.loads(ran.shown[0][0][DATA])
        self.assertEqual(columns, {"a": [1, 2], "2": [0.5, None], "d": ["2024-01-02T00:00:00", "NaT"]})
        for data, _ in ran.shown[1:]:
            self.assertNotIn(DATA, data)

    @needs("pandas")
    def test_what_is_in_a_large_table_is_not_copied(self):
        ran = cells(
            "import pandas as pd\npd.DataFrame.to_dict = None",
            "pd.DataFrame({'a': range(60_000)})", "pd.DataFrame({'a': ['short'] * 100 + ['x' * 20_000] * 250})",
            "pd.DataFrame({'a': [[[0] * 10_000] * 10_000]})", "pd.DataFrame({'a': [range(10**12)]})",
            "pd.DataFrame({'a': pd.Categorical(['x' * 20_000] * 250)})", "pd.DataFrame(columns=['x' * 5_000_000])",
            "pd.DataFrame({'a': [iter('ab')]})",
        )  # fmt: skip
        for ending, _ in ran.ending:
            self.assertEqual(ending, ("finished", 0), ran)
        self.assertEqual([sorted(data) for data, _ in ran.shown], [["text/html", "text/plain"]] * 7)

    @needs("e2b_charts")
    def test_what_is_in_a_large_chart_is_not_read(self):
        ran = cells(
            "import matplotlib.pyplot as plt, numpy as np\nplt.plot(np.arange(60_000))\nplt.show()",
            "plt.scatter(np.arange(60_000), np.arange(60_000))\nplt.show()",
            "figure, axes = plt.subplots(1, 2)\nfor each in axes:\n    _ = each.plot(np.arange(30_000))\nplt.show()",
            "plt.plot(np.arange(40_000))\nplt.show()",
        )
        self.assertEqual([CHART in data for data, _ in ran.shown], [False, False, False, True])

    @needs("pandas")
    def test_pandas_has_pyarrow_where_it_is_asked_for(self):
        if importlib.util.find_spec("pyarrow") is None:
            self.skipTest("pyarrow is not installed")
        for code, value in (
            ("pd.Series(['a'], dtype='string[pyarrow]').str.upper().tolist()", "['A']"),
            ("pd.Series([1], dtype='int64[pyarrow]').dtype", "int64[pyarrow]"),
            (
                "pd.DataFrame({'a': [1], 'b': ['x']}).convert_dtypes(dtype_backend='pyarrow').dtypes.astype(str).tolist()",
                "['int64[pyarrow]', 'string[pyarrow]']",
            ),
            (
                "frame.to_parquet('a.pq'); pd.read_parquet('a.pq', dtype_backend='pyarrow').dtypes.astype(str).tolist()",
                "['int64[pyarrow]', 'string[pyarrow]']",
            ),
            ("pd.Series(pa.array(['x']), dtype=pd.ArrowDtype(pa.string())).dtype", "string[pyarrow]"),
            ("pd.Series([[1, 2]], dtype=pd.ArrowDtype(pa.list_(pa.int64()))).list.len().tolist()", "[2]"),
            (
                "table = pd.read_csv(io.StringIO('i,f,s,b,n,g\\n1,.5,x,True,,7\\n,,,,,8'), dtype_backend='pyarrow', dtype={'g': 'int8'}); "
                "table.dtypes.astype(str).tolist(), table.s.tolist(), table.i.sum()",
                "(['int64[pyarrow]', 'double[pyarrow]', 'string[pyarrow]', 'bool[pyarrow]', 'null[pyarrow]', 'float64'], ['x', <NA>], 1)",
            ),
            (
                "pd.read_csv(io.StringIO('i\\n1'), dtype_backend='numpy_nullable').dtypes.astype(str).tolist()",
                "['Int64']",
            ),
            ("pd.options.mode.string_storage = 'pyarrow'; pd.Series(['a'], dtype='string').dtype.storage", "'pyarrow'"),
            # Where nobody asks, text stays in Python's objects, pyarrow or not.
            ("frame.astype('string'); frame.describe(include='all'); dir(frame.a); 'pyarrow' in sys.modules", "False"),
            ("pd.Series(['a'], dtype='string[pyarrow]'); pd.Series(['a'], dtype='string').dtype.storage", "'python'"),
        ):
            imports = "import io, sys, pandas as pd\n" + ("import pyarrow as pa\n" if "pa." in code else "")
            ran = self.finished(run(f"{imports}frame = pd.DataFrame({{'a': [1], 'b': ['x']}})\n{code}"))
            shown = ran.shown[-1][0]["text/plain"]
            self.assertIn(shown, (value, repr(value)), code)

    @needs("matplotlib.pyplot")
    def test_captured_figures_are_kept_and_can_be_shown(self):
        ran = cells("%%capture out\nimport matplotlib.pyplot as plt\nplt.plot([1])", "out.show()")
        self.assertEqual(
            [sorted(set(data) - {CHART}) for data, _ in ran.shown], [["text/plain"], ["image/png", "text/plain"]]
        )

    @needs("sympy")
    def test_formulas_are_printed_as_a_cell_wishes(self):
        ran = cells("import sympy\nsympy.init_printing()\nx = sympy.Symbol('x')", "x**2 / 3", "[x**2]")
        self.assertEqual(ran.shown[0][0]["text/plain"], " 2\nx \n──\n3 ")
        self.assertEqual(ran.shown[0][0]["text/latex"], "$\\displaystyle \\frac{x^{2}}{3}$")
        self.assertIn("x^{2}", ran.shown[1][0]["text/latex"])
        # It looks for LaTeX with files of its own.
        self.assertEqual([need for need, _ in ran.lacked if need != "FILES"], [])

    @needs("pandas", "matplotlib.pyplot")
    def test_programs_outside_of_notebooks_have_neither(self):
        ran = run("import pandas as pd\npd.DataFrame({'a': [1, 2]}).plot()\ndisplay(pd.DataFrame({'a': [1]}))")
        self.assertEqual([mime for data, _ in ran.shown for mime in data if mime in (DATA, CHART)], [])

    @needs("orjson", "numpy")
    def test_lists_and_dicts_with_numpys_values_are_json(self):
        ran = cells("import numpy as np\n{1: np.float64(0.5), 'a': np.arange(3), None: [np.int64(2), float('nan')]}")
        self.assertEqual(json.loads(ran.shown[0][0]["application/json"]), {"1": 0.5, "a": [0, 1, 2], "null": [2, None]})

    @needs("PIL.Image", "matplotlib.pyplot")
    def test_a_picture_that_is_saved_or_shown_is_displayed(self):
        ran = cells(
            "from PIL import Image\nimage = Image.new('RGBA', (4, 4))\nimage.save('a.png')\nprint('saved')",
            "image.show()",
            "import io, pathlib\nimage.save(io.BytesIO(), 'PNG')\nimage.save(pathlib.Path('b.png'))",
            "image.save('/nowhere/a.png')",
            "import inspect\nlist(inspect.signature(Image.Image.save).parameters)[:3]",
        )
        self.assertEqual(ran.stream.split("\n")[0], "\x010saved")
        self.assertEqual(["image/png" in data for data, _ in ran.shown], [True, True, True, False])
        self.assertEqual(ran.ending[3][0][1], "FileNotFoundError")
        self.assertNotIn("switchtower", ran.ending[3][0][3])
        self.assertEqual(json.loads(ran.shown[3][0]["application/json"]), ["self", "fp", "format"])
        self.assertEqual(self.finished(run("from PIL import Image\nImage.new('RGB', (4, 4)).save('a.png')")).shown, [])


class StateTransfer(Case):
    """One kernel exports its state, and another one, where the cells run again, comes to the same."""

    def exported(self, sources):
        def work(entry):
            for number, source in enumerate(sources, 1):
                run_cell(entry, (None, None) if number == 1 else None, source, number, {}, False, [])
            options = json.dumps({"home": HOME, "env": {}})
            return entry.run_internal(code=(
                "from _switchtower import tracebacks\n"
                "from _switchtower.state_transfer.export.state import export_state\n"
                f"print(export_state({options!r}, tracebacks.cell_numbers))"
            ))  # fmt: skip

        ran = child(work)
        self.assertEqual(ran.ending, ("finished", 0), ran)
        return json.loads(ran.out.split("\n")[-2])

    def restored(self, sources, state, check, pure=True):
        cells = [
            {"number": n, "code": code, "env": {}, "changes": [], "pure": pure, "raised": False, "incomplete": False}
            for n, code in enumerate(sources, 1)
        ]
        request = {"cells": cells, "state": state, "time_limit_s": 20, "home": HOME, "files_in_use": False}
        texts = restore_sources()
        code = (f"loader = {{}}\nexec({dict(texts)['modules']!r}, loader)\n"
                f"package = loader['load']('_switchtower_restore', {texts!r})\n"
                f"print(package.restore.restore({json.dumps(request)!r}))")  # fmt: skip

        def work(entry):
            own = entry.run_internal(code=code, options=({}, HOME))
            return own, run_cell(entry, None, check, len(sources) + 1, {}, False, [])[0]

        ran = child(work)
        self.assertEqual(ran.ending[0], ("finished", 0), ran)
        self.assertEqual(ran.lacked, [])
        verdict = json.loads(ran.out.split("\n")[0])
        self.assertTrue(verdict["ok"], verdict)
        return verdict, ran

    def test_a_session_is_restored_as_if_its_cells_had_run_here(self):
        state = self.exported(STATE)
        verdict, ran = self.restored(STATE, state, "f(2), _, In[1][:6], p.me[0] is p, P.n, shared is also, 1/0")
        self.assertEqual(verdict["transferred"], [])
        self.assertIn("Cell In[3], line 1", ran.ending[1][3])
        _, ran = self.restored(STATE, state, "f(2), _, In[1][:6], p.me[0] is p, P.n, shared is also, [d for d in Out]")
        self.assertEqual(ran.shown[0][0]["text/plain"], "(2, 1, 'import', True, 3, True, [1])")

    def test_cells_with_magics_run_again_as_they_ran(self):
        sources = [
            "%time x = [1]\n%env OF_A_CELL={x}",
            "%%time\n\ny = 2\ny",
            "%%capture c\n%%time\nprint(3)",
            "cd /tmp",
        ]
        _, ran = self.restored(
            sources, self.exported(sources), "import os\nx, os.environ['OF_A_CELL'], y, _, c.stdout, os.getcwd()"
        )
        shown = ast.literal_eval(ran.shown[-1][0]["text/plain"])
        self.assertEqual((shown[:4], shown[4][:11], shown[5]), (([1], "[1]", 2, 2), "3\nCPU times", "/tmp"))

    def test_our_own_frames_are_in_no_traceback(self):
        for code in ("%time 1 / 0", "%timeit 1 / 0", "%cd nowhere", "%run nowhere.py", "%%capture\n1 / 0",
                     "get_ipython().run_cell_magic('time', '', '1 / 0')", "%history ~1/", "%env A B\n%timeit -z"):  # fmt: skip
            ran = cells(code, f"import traceback\ntry:\n    {code.splitlines()[0]}\nexcept Exception:\n    traceback.print_exc()"
                        if not code.startswith("%%") else "1")  # fmt: skip
            for text in (ran.ending[0][0][3], ran.err):
                self.assertNotIn("switchtower", text, code)
                self.assertNotIn("<string>", text, code)

    def test_context_variables_and_decimal_settings_are_those_of_the_cells(self):
        sources = ["import contextvars, decimal\nuser = contextvars.ContextVar('user')\ntoken = user.set('ada')\n"
                   "decimal.getcontext().prec = 50\ndel token", "other = contextvars.ContextVar('other')\nawait __import__"
                   "('asyncio').sleep(0)\nother.set(2)\nNone"]  # fmt: skip
        state = self.exported(sources)
        _, ran = self.restored(sources, state, "user.get('lost'), other.get('lost'), decimal.getcontext().prec")
        self.assertEqual(ran.shown[0][0]["text/plain"], "('ada', 2, 50)")

    @needs("numpy", "pandas")
    def test_arrays_and_tables_come_out_the_same_where_the_cells_do(self):
        state = self.exported(NUMERIC)
        self.assertEqual([g["opaque"] for g in state["groups"] if g["opaque"]], [])
        self.assertEqual([g["reason"] for g in state["groups"] if "reason" in g], [])
        self.assertIn(["a", "view"], [g["names"] for g in state["groups"]])
        verdict, ran = self.restored(NUMERIC, state, "view[:] = 7; a.sum(), rng.random()")
        self.assertEqual(verdict["transferred"], [])

    @needs("numpy", "pandas")
    def test_what_randomness_made_is_transferred_and_shares_what_it_shared(self):
        state = self.exported(UNLIKE)
        verdict, ran = self.restored(
            UNLIKE, state, "view[:] = 7\nbool((a[:, 1:] == 7).all()), len(df), (column == df.x).all()", pure=False
        )
        self.assertEqual(sorted(verdict["transferred"]), ["a", "column", "df", "f", "legacy", "rng", "view", "when"])
        self.assertEqual(ran.shown[0][0]["text/plain"], "(True, 3, np.True_)")
        # What was restored is exported the same.
        again = {tuple(g["names"]): g["digest"] for g in state["groups"]}
        self.assertEqual(len(again), len(state["groups"]))

    @needs("sklearn.linear_model", "matplotlib.pyplot")
    def test_models_and_figures_can_be_exported(self):
        sources = ["import numpy as np, matplotlib.pyplot as plt\nfrom sklearn.linear_model import LinearRegression\n"
                   "model = LinearRegression().fit(np.arange(4.0).reshape(-1, 1), np.arange(4.0))\n"
                   "fig, ax = plt.subplots()\nax.plot([1, 2])"]  # fmt: skip
        state = self.exported(sources)
        verdict, ran = self.restored(sources, state, "float(model.predict([[9.0]])[0]), fig.axes[0] is ax")
        self.assertEqual(ran.shown[0][0]["text/plain"], "(9.0, True)")


def main():
    given = sys.argv  # preparing sets others
    if site := os.environ.get("SITE"):
        sys.path.insert(0, os.path.abspath(site))
    sys.path[:] = [folder for folder in sys.path if folder != str(HERE) and ("site-packages" not in folder or not site)]
    os._real_exit = os._exit
    sys.modules["_switchtower_host"] = host()
    boot = importlib.util.module_from_spec(
        importlib.util.spec_from_file_location("boot", PYTHON / "native" / "boot.py")
    )
    boot.__spec__.loader.exec_module(boot)
    sys.meta_path.insert(0, boot.Embedded(embedded_files()))
    from _switchtower import entry, scratch

    scratch.OWN_FOLDERS = (HOME, "/tmp/ipykernel_2")
    failed = entry.prepare(PACKAGES)
    if os.environ.get("SITE"):
        print("cannot be imported:", *failed, sep="\n  ", file=sys.stderr)
    assert len(os.listdir("/proc/self/task")) == 1, "a fork would leave threads behind"
    sys.path[:1] = [HOME]
    try:
        unittest.main(argv=given)
    finally:
        shutil.rmtree(HOME)


if __name__ == "__main__":
    main()
