"""The kernel of a machine, as a process of its own. `SITE` names a folder of packages, for the tests that need some."""

import base64
import importlib.util
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import machine

ROOT = machine.PYTHON.parent.parent
MOVES = ROOT / "tests" / "drop_in" / "moves"
DATA, CHART = "application/vnd.e2b.data+json", "application/vnd.e2b.chart+json"
# The rest of E2B's own message.
NO_INPUT = "raw_input was called, but this frontend does not support input requests."

folder = tempfile.TemporaryDirectory(prefix="switchtower-kernel-", dir="/var/tmp")
FOLDER = pathlib.Path(folder.name).resolve()


# A cell that replaces much of what a kernel uses.
REPLACE = """
import ast, base64, fcntl, hashlib, inspect, json, linecache, os, pickle, select, signal, struct, termios, threading
import time, traceback, types, zlib
for module, names in {
    ast: "parse", base64: "b64encode", fcntl: "fcntl ioctl", hashlib: "blake2b", inspect: "cleandoc",
    json: "dumps loads", linecache: "getline getlines updatecache", os: "read write fstat close dup dup2 getpid",
    os.path: "join isdir", pickle: "dumps loads Pickler", select: "poll", signal: "signal getsignal pthread_sigmask",
    struct: "pack unpack", termios: "TIOCOUTQ", threading: "Lock", time: "sleep",
    traceback: "print_exception TracebackException", types: "ModuleType", zlib: "crc32",
}.items():
    for name in names.split():
        setattr(module, name, None)
"""


def setUpModule():
    machine.compose(FOLDER)


def tearDownModule():
    folder.cleanup()


def is_installed(*names):
    site = os.environ.get("SITE")
    held = sys.path[:]
    sys.path += [site] if site else []
    try:
        return all(importlib.util.find_spec(name) is not None for name in names)
    finally:
        sys.path[:] = held


def is_moved(case):
    """Returns whether the packages of a case are installed."""
    return is_installed(*(name for name in case["packages"] if name != "native"))


def needs(*names):
    return unittest.skipUnless(is_installed(*names), f"not installed: {', '.join(names)}")


class Case(unittest.TestCase):
    maxDiff = None

    def kernel(self, **options):
        kernel = machine.PythonKernel(FOLDER, **options)
        self.addCleanup(kernel.close)
        return kernel

    def ran(self, *cells, kernel=None):
        """Runs cells in one kernel. Returns what the last one gave; all have to finish."""
        kernel = kernel or self.kernel()
        for source in cells:
            ran = kernel.cell(source)
            self.assertEqual(ran.ending, {"exit": "finished", "code": 0}, (source, ran))
        return ran

    def prints(self, source, out):
        self.assertEqual(self.ran(source).out, out)

    def shows(self, source, text, kernel=None):
        ran = self.ran(source, kernel=kernel)
        self.assertEqual(ran.shown[-1][0]["text/plain"], text, ran)

    def raises(self, ran, name):
        self.assertEqual((ran.ending["exit"], ran.ending.get("name")), ("raised", name), ran)
        return ran


class Cells(Case):
    def test_values_stay_from_cell_to_cell_and_the_last_one_is_shown_among_the_output(self):
        kernel = self.kernel()
        ran = self.ran("x = [1]", "print('a')\nx + [{'b': 2.5}]", kernel=kernel)
        self.assertEqual(ran.stream, "a\n\x01")
        self.assertEqual(ran.shown, [({"text/plain": "[1, {'b': 2.5}]", "application/json": '[1,{"b":2.5}]'}, True)])
        self.shows("_, Out[2], In[1]", "([1, {'b': 2.5}], [1, {'b': 2.5}], 'x = [1]')", kernel)

    def test_what_is_written_around_values_keeps_its_order(self):
        ran = self.ran("for n in range(300):\n    print(n)\n    display(n)\n    print(-n)")
        self.assertEqual(ran.stream, "".join(f"{n}\n\x01{-n}\n" for n in range(300)))

    def test_a_traceback_has_the_cells_own_frames_alone(self):
        ran = self.raises(
            self.kernel().cell("import json\ndef f(s):\n    return json.loads(s)\nf('{')"), "JSONDecodeError"
        )
        self.assertEqual(ran.ending["line"], 3)
        self.assertIn("Cell In[1], line 3, in f(s)", ran.ending["traceback"])
        self.assertNotIn("switchtower", ran.ending["traceback"])

    def test_a_cell_may_await_and_its_tasks_go_on_in_the_next_one(self):
        ran = self.ran(
            "import asyncio\nasync def later():\n    await asyncio.sleep(0.01)\n    print('later')\n"
            "task = asyncio.create_task(later())",
            "await task\nawait asyncio.sleep(0, 5)",
        )
        self.assertEqual((ran.out, ran.shown), ("later\n", [({"text/plain": "5"}, True)]))

    def test_input_is_what_was_given_for_the_cell_or_an_error_as_with_e2b(self):
        kernel = self.kernel()
        self.assertEqual(self.raises(kernel.cell("input('? ')"), "StdinNotImplementedError").ending["value"], NO_INPUT)
        read = "import subprocess\nprint(input(), subprocess.run(['cat'], capture_output=True).stdout)"
        self.assertEqual(kernel.cell(read, stdin="one\n").out, "one b''\n")
        self.assertEqual(kernel.cell("!cat\nimport sys; sys.stdin.read()").shown[0][0]["text/plain"], "''")
        self.assertEqual(kernel.cell("input()", stdin="two\nthree").shown[0][0]["text/plain"], "'two'")

    def test_the_environment_of_a_kernel_stays_and_that_of_a_cell_goes(self):
        kernel = self.kernel(env={"GIVEN": "1"})
        look = "import os\n[os.environ.get(n) for n in ('GIVEN', 'KERNEL', 'CELL')], os.getcwd()"
        first = kernel.cell(look, env={"CELL": "3"}, options={"env": {"KERNEL": "2"}, "folder": "below/here"})
        here = str(kernel.home / "below" / "here")
        self.assertEqual(first.shown[0][0]["text/plain"], f"(['1', '2', '3'], {here!r})")
        self.assertEqual(kernel.cell(look).shown[0][0]["text/plain"], f"(['1', '2', None], {here!r})")
        self.assertEqual(kernel.cell("!echo $CELL$KERNEL", env={"CELL": "v"}).out, "v2\r\n")

    def test_leaving_in_a_cell_is_an_exception_and_the_values_stay(self):
        kernel = self.kernel()
        self.raises(kernel.cell("import sys\nx = 1\nsys.exit(3)"), "SystemExit")
        self.shows("x", "1", kernel)

    def test_modules_that_a_command_wrote_between_cells_are_found(self):
        kernel = self.kernel()
        self.raises(kernel.cell("import fresh"), "ModuleNotFoundError")
        (kernel.home / "fresh.py").write_text("value = 7")
        self.shows("import fresh; fresh.value", "7", kernel)

    def test_modules_of_the_program_do_not_take_the_place_of_the_kernels_own(self):
        kernel = self.kernel()
        for name in ("asyncio", "resource", "tempfile", "decimal", "sqlite3", "shutil", "subprocess"):
            (kernel.home / f"{name}.py").write_text("raise RuntimeError")
        kernel.send(op="cell", source="1 + 1", number=1, env={}, stdin=None, options=None)
        self.assertEqual(kernel.answer().shown[0][0]["text/plain"], "2")
        ran = kernel.internal(export_code(kernel.home))
        self.assertEqual(ran.ending, {"exit": "finished", "code": 0}, ran)


class Commands(Case):
    def test_a_command_prints_to_a_terminal_and_its_code_is_bound(self):
        kernel = self.kernel()
        self.assertEqual(
            self.ran("word = 'hi'\n!echo {word} $word; echo wrong >&2", kernel=kernel).out, "hi hi\r\nwrong\r\n"
        )
        self.shows("!exit 3\n_exit_code", "3", kernel)
        self.shows("!kill -9 $$\n_exit_code", "-9", kernel)
        self.shows("!no-such-command-anywhere\n_exit_code", "127", kernel)

    def test_the_output_of_a_command_comes_while_it_runs(self):
        kernel = self.kernel()
        kernel.start("!echo first; while [ ! -e go ]; do sleep 0.01; done; echo second")
        kernel.wait_for("first")
        (kernel.home / "go").touch()
        self.assertEqual(kernel.answer().out, "first\r\nsecond\r\n")

    def test_a_command_may_be_longer_than_a_line_and_among_python(self):
        self.prints(
            "for n in range(2):\n    !echo {n} \\\n        and more\nprint('done')",
            "0 and more\r\n1 and more\r\ndone\n",
        )

    def test_what_a_command_leaves_running_does_not_hold_the_cell(self):
        kernel = self.kernel()
        began = time.monotonic()
        self.ran("!sleep 50 & echo left", "%%bash\nsleep 50 &\necho left", kernel=kernel)
        self.assertLess(time.monotonic() - began, 20)

    def test_lines_of_a_command_are_bound_to_a_name(self):
        self.shows("x = !printf 'a\\nb\\n'; echo c >&2\nx, x.n", "(['a', 'b', 'c'], 'a\\nb\\nc')")
        self.shows("get_ipython().getoutput('echo one')", "['one']")
        self.prints("get_ipython().system('echo two')", "two\r\n")

    def test_cells_of_other_programs_write_to_both_streams_and_raise_where_they_fail(self):
        kernel = self.kernel()
        ran = self.ran("%%bash\necho out\necho err >&2", kernel=kernel)
        self.assertEqual((ran.out, ran.err), ("out\n", "err\n"))
        ran = self.raises(kernel.cell("%%sh\necho out\nexit 4"), "CalledProcessError")
        self.assertIn("exit status 4", ran.ending["value"])
        ran = self.ran("%%bash --no-raise-error --out kept\necho kept\nexit 1", "kept", kernel=kernel)
        self.assertEqual(ran.shown[0][0]["text/plain"], "'kept\\n'")
        self.assertEqual(self.ran("%%script cat\nas it is", kernel=kernel).out, "as it is\n")
        self.assertEqual(self.ran("%%python\nprint(6 * 7)", kernel=kernel).out, "42\n")
        self.assertIn("Couldn't find program", self.ran("%%script nowhere\nx", kernel=kernel).out)

    def test_magics_of_folders_files_and_the_environment_concern_the_machine(self):
        kernel = self.kernel()
        ran = self.ran("%cd /tmp", "%pwd", kernel=kernel)
        self.assertEqual(ran.shown[0][0]["text/plain"], "'/tmp'")
        self.assertEqual(self.ran("%env NAME=value\n!echo $NAME", kernel=kernel).out, "env: NAME=value\nvalue\r\n")
        self.ran(f"%%writefile {kernel.home}/note.txt\nof a cell\n", kernel=kernel)
        self.assertEqual((kernel.home / "note.txt").read_text(), "of a cell\n")
        self.assertIn("note.txt", self.ran(f"ls {kernel.home}", kernel=kernel).out)
        self.assertIn("per loop", self.ran("%timeit -n 1 -r 1 pass", kernel=kernel).out)
        ran = self.raises(kernel.cell("%no_such_magic 1"), "UsageError")
        self.assertEqual((ran.ending["traceback"], ran.err),
                         ("", "UsageError: Line magic function `%no_such_magic` not found.\n"))  # fmt: skip

    @needs("pip")
    def test_pip_is_the_machines_own(self):
        self.assertIn("pip ", self.ran("%pip --version").out)
        ran = self.ran("!{__import__('sys').executable} -m pip install --no-index no-such-package-anywhere")
        self.assertIn("No matching distribution found", ran.out)


class Processes(Case):
    def test_processes_of_a_cell_are_real_and_their_output_is_its_own(self):
        self.prints(
            "import subprocess\nsubprocess.run('echo out; echo err', shell=True)\nprint('after')", "out\nerr\nafter\n"
        )
        self.shows("import os\nos.system('exit 3') >> 8", "3")

    def test_pools_of_processes_work_in_a_cell(self):
        for method in ("fork", "spawn", "forkserver"):
            self.prints(
                "import math, multiprocessing as m\nfrom concurrent.futures import ProcessPoolExecutor\n"
                f"with ProcessPoolExecutor(2, mp_context=m.get_context({method!r})) as p:\n"
                "    print(list(p.map(math.sqrt, [1, 4])))",
                "[1.0, 2.0]\n",
            )
        self.prints("def twice(n): return 2 * n\nimport multiprocessing as m\n"
                    "with m.get_context('fork').Pool(2) as p: print(p.map(twice, [1, 2]))", "[2, 4]\n")  # fmt: skip

    def test_pools_of_processes_work_in_a_program_by_each_method(self):
        for method in ("fork", "spawn", "forkserver"):
            source = ("import multiprocessing as m\nfrom concurrent.futures import ProcessPoolExecutor\n"
                      "def twice(n): return 2 * n\nif __name__ == '__main__':\n"
                      f"    with ProcessPoolExecutor(2, mp_context=m.get_context({method!r})) as p:\n"
                      "        print(list(p.map(twice, [1, 2])))")  # fmt: skip
            with self.subTest(method):
                self.assertEqual(self.kernel().program(source).out, "[2, 4]\n")

    def test_a_file_in_the_programs_place_is_not_taken_for_the_program(self):
        kernel = self.kernel()
        (kernel.home / "main.py").write_text("raise RuntimeError('another one')")
        source = ("import multiprocessing as m\ndef twice(n): return 2 * n\nif __name__ == '__main__':\n"
                  "    with m.get_context('spawn').Pool(1) as p: print(p.map(twice, [1]))")  # fmt: skip
        self.assertEqual(kernel.program(source).out, "[2]\n")

    def test_a_process_that_a_cell_forked_ends_with_the_cell_and_says_nothing_to_the_host(self):
        kernel = self.kernel()
        ended = "\nif pid: print(os.waitpid(pid, 0)[1] >> 8)"
        self.assertEqual(self.ran("import os\npid = os.fork()\nNone" + ended, kernel=kernel).out, "0\n")
        self.assertEqual(
            self.ran("import sys\npid = os.fork()\nif not pid: sys.exit(4)" + ended, kernel=kernel).out, "4\n"
        )
        ran = self.ran("pid = os.fork()\nif not pid: display('child'); 1 / 0" + ended, kernel=kernel)
        self.assertEqual((ran.out, ran.shown), ("1\n", []))
        self.assertIn("ZeroDivisionError", ran.err)
        self.shows("6 * 7", "42", kernel)

    def test_a_process_that_a_program_forked_ends_as_a_program(self):
        source = ("import atexit, os\natexit.register(lambda: print('end', os.getpid() == first))\nfirst = os.getpid()\n"
                  "if os.fork() == 0: raise SystemExit(5)\nprint(os.wait()[1] >> 8)")  # fmt: skip
        self.assertEqual(self.kernel().program(source).out, "end False\n5\nend True\n")

    def test_threads_may_print_after_the_cell(self):
        kernel = self.kernel()
        self.ran(
            "import threading, os, time\ndef late():\n    while not os.path.exists('go'): time.sleep(0.01)\n"
            "    print('late')\nthreading.Thread(target=late).start()",
            kernel=kernel,
        )
        (kernel.home / "go").touch()
        kernel.wait_for("late\n")

    def test_sockets_of_the_machine_itself_work(self):
        self.prints(
            "import socket, threading\ns = socket.create_server(('127.0.0.1', 0))\n"
            "threading.Thread(target=lambda: s.accept()[0].sendall(b'hi'), daemon=True).start()\n"
            "print(socket.create_connection(s.getsockname()).recv(2))",
            "b'hi'\n",
        )


class Programs(Case):
    def program(self, source, **options):
        return self.kernel().program(source, **options)

    def test_a_program_ends_with_the_code_that_a_shell_would_see(self):
        for source, code in (("import sys; sys.exit(3)", 3), ("exit(300)", 44), ("raise SystemExit", 0), ("", 0)):
            with self.subTest(source):
                self.assertEqual(self.program(source).ending, {"exit": "finished", "code": code})
        self.assertEqual(self.program("import sys; sys.exit('over')").err, "over\n")
        with self.assertRaises(machine.Died) as died:
            self.program("print('said')\nimport os\nos._exit(4)")
        self.assertEqual(died.exception.args[:2], (4, "said\n"))

    def test_a_program_is_a_script_in_the_home_folder(self):
        kernel = self.kernel()
        ran = kernel.program("import os, sys\nprint(os.listdir(), __name__, sys.path[0] == os.getcwd())\n"
                             "print(input(), sys.stdin.read(), os.environ['K'])", stdin="a\nb", env={"K": "v"})  # fmt: skip
        self.assertEqual(ran.out, "[] __main__ True\na b v\n")
        kernel = self.kernel()
        ran = kernel.program("import sys\nprint(sys.argv, len(open(__file__).read()))\n7")
        self.assertEqual((ran.out, ran.shown), (f"['{kernel.home}/main.py'] 56\n", [({"text/plain": "7"}, True)]))

    def test_without_input_a_program_reads_its_end(self):
        self.raises(self.program("input()"), "EOFError")

    def test_what_is_due_at_the_end_of_a_program_happens(self):
        ran = self.program(
            "import atexit, threading, time\natexit.register(print, 'last')\n"
            "threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()\nprint('main')\n"
            "import asyncio\nawait asyncio.sleep(0)"
        )
        self.assertEqual(ran.out, "main\nthread\nlast\n")

    def test_errors_have_the_programs_frames_and_deep_ones_are_folded(self):
        ran = self.raises(self.program("def f(n):\n    return 1 / n\nf(0)"), "ZeroDivisionError")
        self.assertTrue(ran.ending["traceback"].startswith("Traceback (most recent call last):\n  File "), ran)
        self.assertNotIn("_switchtower", ran.ending["traceback"])
        self.assertEqual(ran.ending["line"], 2)
        self.assertIn(
            "more times]", self.raises(self.program("def f(): f()\nf()"), "RecursionError").ending["traceback"]
        )
        self.raises(self.program("x = ("), "SyntaxError")


class Results(Case):
    @needs("pandas")
    def test_tables_have_their_columns(self):
        ran = self.ran("import pandas as pd\npd.DataFrame({'a': [1, 2], 'b': ['x', 'y']})")
        shown, main = ran.shown[0]
        self.assertTrue(main)
        self.assertEqual(json.loads(shown[DATA]), {"a": [1, 2], "b": ["x", "y"]})
        self.assertIn("<table", shown["text/html"])

    @needs("matplotlib", "e2b_charts")
    def test_figures_are_shown_at_the_end_of_a_cell_with_their_chart(self):
        kernel = self.kernel()
        ran = self.ran("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.title('t')\nNone", kernel=kernel)
        shown, main = ran.shown[-1]
        self.assertFalse(main)
        self.assertTrue(base64.b64decode(shown["image/png"]).startswith(b"\x89PNG"))
        self.assertEqual(json.loads(shown[CHART])["type"], "line")
        self.assertEqual(self.ran("plt.plot([1])\nplt.show()\nprint('after')", kernel=kernel).stream, "\x01after\n")

    @needs("plotly")
    def test_plotly_shows_its_own_format(self):
        ran = self.ran("import plotly.graph_objects as go\ngo.Figure(go.Bar(x=[1], y=[2]))")
        self.assertIn("application/vnd.plotly.v1+json", ran.shown[-1][0])

    def test_objects_are_shown_by_their_own_methods(self):
        ran = self.ran(
            "class Rich:\n    def _repr_html_(self): return '<b>'\n    def _repr_latex_(self): return '$x$'\nRich()"
        )
        self.assertEqual((ran.shown[0][0]["text/html"], ran.shown[0][0]["text/latex"]), ("<b>", "$x$"))
        ran = self.ran("from IPython.display import JSON, Markdown\ndisplay(Markdown('# a'), JSON({'b': 1}))")
        self.assertEqual([sorted(shown)[0] for shown, _ in ran.shown], ["text/markdown", "application/json"])


class Interrupts(Case):
    def interrupted(self, source, begun="begun"):
        kernel = self.kernel()
        kernel.start(source)
        kernel.wait_for(begun)
        kernel.interrupt()
        ran = self.raises(kernel.answer(), "KeyboardInterrupt")
        self.shows("'on'", "'on'", kernel)
        return ran

    def test_whatever_a_cell_does_an_interrupt_ends_it_and_the_kernel_goes_on(self):
        for does in ("import time; time.sleep(60)", "while True: pass", "import subprocess; subprocess.run(['sleep', '60'])",
                     "import threading; threading.Event().wait()", "import asyncio; await asyncio.sleep(60)",
                     "import socket; a, b = socket.socketpair(); a.recv(1)", "!echo within; sleep 60",
                     "x = !sleep 60", "get_ipython().run_cell_magic('bash', '', 'sleep 60')",
                     "while True: display(1)"):  # fmt: skip
            with self.subTest(does):
                self.interrupted(f"print('begun')\n{does}")

    def test_an_interrupted_command_has_ended(self):
        kernel = self.kernel()
        kernel.start("!echo $$ > number; echo begun; exec sleep 60")
        kernel.wait_for("begun")
        kernel.interrupt()
        self.raises(kernel.answer(), "KeyboardInterrupt")
        with self.assertRaises(ProcessLookupError):
            os.kill(int((kernel.home / "number").read_text()), 0)

    def test_an_interrupt_between_cells_has_no_effect(self):
        kernel = self.kernel()
        for number in range(3):
            kernel.interrupt()
            self.shows(f"{number}", f"{number}", kernel)

    def test_interrupts_at_any_moment_leave_every_answer_whole(self):
        kernel = self.kernel()
        for number in range(300):
            kernel.start("display({'text': 'x' * 2000}); [0] * 100")
            if number % 3:
                time.sleep(number % 7 / 5000)
            kernel.interrupt()
            ran = kernel.answer()
            self.assertIn(ran.ending.get("name"), (None, "KeyboardInterrupt"), ran)
            for shown, _ in ran.shown:
                self.assertIn("text/plain", shown)
        self.shows("'on'", "'on'", kernel)

    def test_handlers_that_raise_at_any_moment_leave_every_answer_whole(self):
        kernel = self.kernel()
        self.ran("import signal\nclass Late(Exception): pass\ndef late(*_): raise Late\n"
                 "signal.signal(signal.SIGALRM, late)", kernel=kernel)  # fmt: skip
        for number in range(100):
            kernel.start(
                f"signal.setitimer(signal.ITIMER_REAL, {number % 10 / 5000 + 0.0003})\ntry:\n"
                "    for n in range(40): display(n)\nfinally: signal.setitimer(signal.ITIMER_REAL, 0)"
            )
            ran = kernel.answer()
            self.assertIn(ran.ending.get("name"), (None, "Late"), ran)
            self.assertEqual([shown["text/plain"] for shown, _ in ran.shown], [str(n) for n in range(len(ran.shown))])
        self.ran(
            "signal.signal(signal.SIGALRM, lambda *_: print('rings'))\nsignal.setitimer(signal.ITIMER_REAL, 0.05)",
            kernel=kernel,
        )
        kernel.wait_for("rings")

    def test_a_cell_may_handle_interrupts_itself(self):
        kernel = self.kernel()
        kernel.start(
            "import time\ntry:\n    print('begun')\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('handled')"
        )
        kernel.wait_for("begun\n")
        kernel.interrupt()
        self.assertEqual(kernel.answer().out, "begun\nhandled\n")


class Hostile(Case):
    def test_standard_descriptors_that_a_cell_closed_are_there_in_the_next_one(self):
        kernel = self.kernel()
        kernel.cell("import os\nfor n in (0, 1, 2): os.close(n)")
        ran = self.ran("import sys\nprint('out')\nprint('err', file=sys.stderr)\nos.read(0, 1)", kernel=kernel)
        self.assertEqual((ran.out, ran.err, ran.shown[0][0]["text/plain"]), ("out\n", "err\n", "b''"))

    def test_a_cell_does_not_meet_the_kernels_descriptors_in_a_loop(self):
        kernel = self.kernel()
        self.shows("import os\nos.closerange(3, 256)\n1", "1", kernel)
        self.shows("open('/dev/null').fileno() < 10", "True", kernel)
        self.assertEqual(self.ran("!ls /proc/self/fd", kernel=kernel).out.split(), ["0", "1", "2", "3"])

    def test_a_cell_that_closes_everything_ends_its_kernel_alone(self):
        kernel = self.kernel()
        with self.assertRaises(machine.Died):
            kernel.cell("import os\nos.closerange(0, 65536)")

    def test_a_cell_that_writes_to_all_that_is_open_does_not_break_the_kernel(self):
        kernel = self.kernel()
        kernel.cell(
            "import os\nfor n in os.listdir('/proc/self/fd'):\n    try:\n        with open(f'/proc/self/fd/{n}', 'w') as f:"
            " f.write('nonsense\\n')\n    except OSError: pass"
        )
        self.shows("'on'", "'on'", kernel)

    def test_a_cell_that_replaces_functions_of_python_breaks_its_own_program_alone(self):
        kernel = self.kernel()
        self.ran("kept = [1]\nclass Shown:\n    def _repr_json_(self): return {'a': 1}", kernel=kernel)
        before = kernel.internal(export_code(kernel.home)).out
        self.ran(REPLACE, kernel=kernel)
        ran = self.ran("print(kept)\nShown()", kernel=kernel)
        self.assertEqual((ran.out, json.loads(ran.shown[0][0]["application/json"])), ("[1]\n", {"a": 1}))
        ran = kernel.cell("1 / 0")
        self.raises(ran, "ZeroDivisionError")
        self.assertIn("1 / 0", ran.ending["traceback"])
        after = json.loads(kernel.internal(export_code(kernel.home)).out)
        for group in json.loads(before)["groups"]:
            self.assertIn(group, after["groups"])

    def test_much_output_and_many_values_arrive_whole(self):
        kernel = self.kernel()
        ran = self.ran("print('x' * 10_000_000)", kernel=kernel)
        self.assertEqual(len(ran.out), 10_000_001)
        ran = self.ran("for n in range(10_000): display(n)", kernel=kernel)
        self.assertEqual([shown["text/plain"] for shown, _ in ran.shown], [str(n) for n in range(10_000)])
        self.assertEqual(len(self.ran("'y' * 3_000_000", kernel=kernel).shown[0][0]["text/plain"]), 3_000_002)

    def test_text_that_no_encoding_has_arrives_in_some_form(self):
        ran = self.ran("'\\ud800'", "display({'text/plain': '\\ud800'}, raw=True)\nraise_ = 1")
        self.assertEqual(len(ran.shown), 1)
        self.raises(self.kernel().cell("raise ValueError('\\ud800\\x00')"), "ValueError")

    def test_a_kernel_without_memory_says_so_and_goes_on(self):
        limit = 1 << 30
        kernel = self.kernel(preexec=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
        for _ in range(2):
            self.raises(kernel.cell("held = []\nwhile True: held.append(bytearray(1 << 20))"), "MemoryError")
            self.shows("held = None\n1", "1", kernel)

    def test_too_deep_a_recursion_is_an_exception(self):
        kernel = self.kernel()
        self.raises(kernel.cell("def f(): f()\nf()"), "RecursionError")
        self.shows("1", "1", kernel)

    def test_streams_that_a_cell_replaced_or_closed_are_given_back(self):
        kernel = self.kernel()
        self.ran("import sys\nsys.stdout.close()", kernel=kernel)
        self.assertEqual(self.ran("print('here')", kernel=kernel).out, "here\n")

    def test_the_end_of_the_socket_ends_the_kernel_after_what_the_session_registered(self):
        kernel = self.kernel()
        self.ran("import atexit, threading, time\natexit.register(lambda: open('left', 'w').close())\n"
                 "threading.Thread(target=time.sleep, args=(60,)).start()", kernel=kernel)  # fmt: skip
        left = kernel.home / "left"
        kernel._socket.shutdown(1)
        self.assertEqual(kernel.process.wait(machine.DEADLINE), 0)
        self.assertTrue(left.exists())


def export_code(home):
    """Returns the code that the host sends to export a state."""
    options = json.dumps({"home": str(home), "env": {}})
    return (
        "from _switchtower import tracebacks\n"
        "from _switchtower.state_transfer.export.state import export_state\n"
        f"print(export_state({options!r}, tracebacks.cell_numbers))"
    )


def restore_code(request):
    """Returns the code that the host sends to restore a state."""
    source = (ROOT / "crates/core/src/session/state_transfer/sources.rs").read_text()
    names = list(dict.fromkeys(re.findall(r"/restore/(\w+)\.py", source)))
    parts = machine.PYTHON / "transfer" / "_switchtower" / "state_transfer" / "restore"
    texts = [(name, (parts / f"{name}.py").read_text()) for name in names]
    return (
        f"r = {{}}\nexec({json.dumps(dict(texts)['modules'])}, r)\n"
        f"print(r['load']('_switchtower_restore', {json.dumps(texts)}).restore.restore({json.dumps(json.dumps(request))}))"
    )


class Transfer(Case):
    """A state that one kernel exports is what another one has after the restore."""

    # Of the cases that all tiers share, one for each part of a state. Whatever is on the other side, the export and the
    # restore are the same text.
    CASES = """
    plain_values functions class_counter closure_counter generator_made_by_the_clock clock_is_transferred tasks outputs
    own_module environment_and_folder decimal_context cut_short exception_of_the_clock open_file_of_the_clock
    ordinary_figures_of_the_clock
    """.split()

    def test_a_session_moves_or_the_reason_names_the_cell(self):
        spec = importlib.util.spec_from_file_location("moves_check", MOVES / "check.py")
        check = importlib.util.module_from_spec(spec)
        held = sys.path[:]
        spec.loader.exec_module(check)
        sys.path[:] = held
        for name in self.CASES:
            with self.subTest(name):
                case = check.read(str(MOVES / f"{name}.py"))
                if is_moved(case):
                    self.check_move(case)

    def check_move(self, case):
        before, after = self.kernel(), self.kernel()
        *cells, last = case["cells"]
        for cell in cells:
            for change in cell["changes"]:
                for kernel in (before, after):
                    (kernel.home / change["path"]).write_bytes(base64.b64decode(change["content"]))
            cell["raised"] = before.cell(cell["code"], env=cell["env"]).ending["exit"] == "raised"
        exported = before.internal(export_code(before.home))
        self.assertEqual(exported.ending["exit"], "finished", exported)
        request = {"cells": cells, "state": json.loads(exported.out), "time_limit_s": 20, "home": str(after.home),
                   "files_in_use": False}  # fmt: skip
        restored = after.internal(restore_code(request))
        self.assertEqual(restored.ending["exit"], "finished", restored)
        verdict = json.loads(restored.out)
        self.assertEqual(verdict["ok"], case["expected"].startswith("moves"), verdict)
        if verdict["ok"]:
            after.number = before.number
            one, other = before.cell(last["code"]), after.cell(last["code"])
            home = (str(after.home), str(before.home))
            self.assertEqual(
                (one.out, one.shown, one.ending.get("value")),
                (other.out.replace(*home), other.shown, other.ending.get("value")),
            )

    def test_code_of_the_hosts_own_leaves_no_trace_and_shows_nothing(self):
        kernel = self.kernel()
        self.ran("x = 1", kernel=kernel)
        ran = kernel.internal(
            "import sys\ny = 2\ndisplay(1)\nprint(sorted(n for n in vars(sys.modules['__main__']) if len(n) == 1))"
        )
        self.assertEqual((ran.out, ran.shown), ("['_', 'x']\n", []))
        self.raises(kernel.cell("y"), "NameError")
        ran = kernel.internal("raise KeyError('no')")
        self.assertEqual(ran.ending["name"], "KeyError")


class Start(Case):
    def test_nothing_that_a_program_may_not_need_is_imported_at_the_start(self):
        code = (
            "import sys, types\np = types.ModuleType('_switchtower')\n"
            f"p.__path__ = [{str(FOLDER / '_switchtower')!r}]\nsys.modules['_switchtower'] = p\n"
            "sys.dont_write_bytecode = True\nfrom _switchtower import entry\n"
            "print([n for n in sys.argv[1:] if n in sys.modules])"
        )
        late = (
            "asyncio ssl socket pickle decimal sqlite3 multiprocessing concurrent.futures numpy pathlib tempfile random"
        )
        done = subprocess.run(
            [sys.executable, "-S", "-c", code, *late.split()], capture_output=True, text=True, check=True
        )
        self.assertEqual(done.stdout, "[]\n")

    def test_other_programs_inherit_nothing_of_the_kernel(self):
        kernel = self.kernel()
        ran = self.ran("import subprocess, sys\nprint(subprocess.run([sys.executable, '-c', 'import sys, os; "
                       "print([p for p in sys.path if \"switchtower-kernel\" in p], sorted(os.environ))'],"
                       " capture_output=True, text=True).stdout)", kernel=kernel)  # fmt: skip
        self.assertTrue(ran.out.startswith("[] ['HOME', 'LANG', "), ran.out)
        self.assertEqual(list(FOLDER.rglob("__pycache__")), [])


if __name__ == "__main__":
    signal.alarm(900)
    unittest.main()
