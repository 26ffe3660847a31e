"""Magics that kernels run themselves, in a kernel of this interpreter."""

import contextlib
import io
import os
import sys
import tempfile
import types
import unittest

import package

needs: list[tuple[str, str]] = []
shown: list[dict[str, str]] = []


class Loop:
    """Runs one task after another."""

    def create_task(self, work, **options):
        import asyncio

        self.loop = getattr(self, "loop", None) or asyncio.new_event_loop()
        return self.loop.create_task(work, **options)

    def run_until_complete(self, task):
        return self.loop.run_until_complete(task)

    def close(self):
        if hasattr(self, "loop"):
            self.loop.close()


package.use(
    "shared",
    host={
        "report_need": lambda what, detail: needs.append((what, detail)),
        "show": lambda data, main: shown.append(dict(data)),
        "INTERRUPTS": True,
    },
    process_info={},
    scratch={
        "set_working_directory": lambda folder: None,
        "tree": types.SimpleNamespace(cwd="/"),
        "reset": lambda: None,
    },
    clock={"Loop": Loop},
)
ipython = package.module("ipython")
kernel = package.module("kernel")
program = package.module("program")
representations = package.module("representations")


class Cells(unittest.TestCase):
    def setUp(self):
        needs.clear()
        shown.clear()
        self.main, self.argv, self.path = sys.modules["__main__"], sys.argv, sys.path[:]
        self.folder = os.getcwd()
        os.chdir(self.enterContext(tempfile.TemporaryDirectory()))
        kernel.reset()
        kernel.begin(None)
        self.number = 0

    def tearDown(self):
        kernel.reset()
        os.chdir(self.folder)
        sys.modules["__main__"], sys.argv, sys.path[:] = self.main, self.argv, self.path

    def run_cell(self, code):
        """Runs a cell. Returns what it printed."""
        self.number += 1
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            kernel._kernel.run(code, self.number)
        return out.getvalue()

    def value(self, code):
        shown.clear()
        self.run_cell(code)
        return shown[-1]["text/plain"]

    def raised(self, code):
        with self.assertRaises(program.Raised) as caught:
            self.run_cell(code)
        return caught.exception.args[0][0]

    def test_time_is_printed_and_the_value_is_shown(self):
        for code in ("%%time\n20 + 22", "%time 20 + 22", "time 20 + 22", "x = %time 20 + 22\nx"):
            shown.clear()
            printed = self.run_cell(code)
            self.assertRegex(
                printed, r"^CPU times: user \S+ \S+, sys: \S+ \S+, total: \S+ \S+\nWall time: \S+ \S+\n$", code
            )
            self.assertEqual([data["text/plain"] for data in shown], ["42"], code)
        self.assertEqual(needs, [])

    def test_a_timed_cell_awaits_keeps_its_line_numbers_and_binds_its_names(self):
        self.run_cell("%%time\nimport asyncio\nawait asyncio.sleep(0)\nx = 5")
        self.assertEqual(self.value("x"), "5")
        with self.assertRaises(program.Raised) as caught:
            self.run_cell("%%time\nx = 1\n1 / 0")
        self.assertEqual(caught.exception.args[0][3], 3)

    def test_timeit_measures_and_returns_its_result_where_it_is_wanted(self):
        form = r"^\S+ \S+ ± \S+ \S+ per loop \(mean ± std. dev. of 2 runs, 10 loops each\)\n$"
        self.assertRegex(self.run_cell("%timeit -n 10 -r2 sum(range(10))").splitlines(True)[-1], form)
        self.assertRegex(self.run_cell("%%timeit -n10 -r 2 y = 3\ny += 1\ny").splitlines(True)[-1], form)
        self.assertEqual(self.run_cell("r = %timeit -q -o -n 10 -r2 1"), "")
        self.assertEqual(self.value("r.loops, r.repeat, r.best <= r.average <= r.worst"), "(10, 2, True)")
        self.assertEqual(self.raised("%timeit -z 1"), "UsageError")

    def test_captured_output_is_bound_and_not_printed(self):
        self.assertEqual(
            self.run_cell("%%capture seen\nimport sys\nprint('a')\nprint('b', file=sys.stderr)\ndisplay(1)\n2"), ""
        )
        self.assertEqual(shown, [])
        self.assertEqual(self.value("seen.stdout, seen.stderr, len(seen.outputs)"), "('a\\n', 'b\\n', 2)")
        self.assertEqual(self.run_cell("seen()"), "a\nb\n")
        self.assertEqual(self.run_cell("%%capture\nprint('a')"), "")
        self.assertEqual(self.raised("%%capture\n1 / 0"), "ZeroDivisionError")
        self.assertEqual(self.run_cell("print('again')"), "again\n")

    def test_names_are_listed_and_removed(self):
        self.assertEqual(self.run_cell("%who"), "Interactive namespace is empty.\n")
        self.run_cell("b, a = [1, 2], 'text'")
        self.assertEqual(self.run_cell("who"), "a\t b\t \n")
        self.assertEqual(self.value("%who_ls list"), "['b']")
        self.assertEqual(self.run_cell("%whos"), "Variable   Type    Data/Info\n----------------------------\n"
                                                 "a          str     text\nb          list    n=2\n")  # fmt: skip
        self.run_cell("%reset")
        self.assertEqual((self.raised("a"), self.value("1 + 1")), ("NameError", "2"))

    def test_folders_environment_and_files(self):
        here = os.getcwd()
        os.mkdir("deep")
        self.assertEqual(self.value("%pwd"), repr(here))
        self.assertEqual(self.run_cell("cd deep"), f"{here}/deep\n")
        self.assertEqual(self.run_cell("%cd -q .."), "")
        self.addCleanup(os.environ.pop, "OF_A_CELL", None)
        self.assertEqual(self.run_cell("%env OF_A_CELL=1 2"), "env: OF_A_CELL=1 2\n")
        self.assertEqual(self.value("%env OF_A_CELL"), "'1 2'")
        self.assertEqual(self.raised("%env NOT_THERE_AT_ALL"), "UsageError")
        self.assertEqual(
            self.run_cell("%%writefile m.py\nimport sys\nv = sys.argv\nprint(__name__)\n"), "Writing m.py\n"
        )
        self.assertEqual(self.run_cell("%%writefile -a m.py\nw = 1\n"), "Appending to m.py\n")
        self.assertEqual(self.run_cell("%run m.py a 'b c'\nv, w"), "__main__\n")
        self.assertEqual(shown[-1]["text/plain"], "(['m.py', 'a', 'b c'], 1)")
        self.assertEqual(sys.modules["__main__"], kernel._kernel.main)

    def test_history_and_precision(self):
        self.run_cell("a = 1")
        self.run_cell("a +\\\n1")
        self.assertEqual(self.run_cell("%history -n 1 3"), "   1: a = 1\n   3: %history -n 1 3\n")
        self.assertEqual(self.run_cell("%history -o -p 1-2"), ">>> a = 1\n>>> a +\\\n... 1\n...\n2\n")
        self.assertEqual(self.run_cell("%history -l 1"), "%history -o -p 1-2\n")
        self.run_cell("%history -f h.txt 1")
        with open("h.txt") as file:
            self.assertEqual(file.read(), "a = 1\n")
        self.assertEqual(
            self.run_cell("%reset -f in out"), "Flushing input history\nFlushing output cache (1 entries)\n"
        )
        self.assertEqual(self.value("In[:3], Out, '_i1' in dir()"), "(['', '', ''], {}, False)")
        self.assertEqual(self.value("%precision 2"), "'%.2f'")
        self.assertEqual((self.value("1 / 3"), self.value("[1 / 3, 2]")), ("0.33", "[0.33, 2]"))
        self.assertEqual((self.value("%precision"), self.value("1 / 4")), ("'%r'", "0.25"))

    def test_questions_print_what_is_known(self):
        self.run_cell('def f(n: int) -> int:\n    "Doubles."\n    return 2 * n')
        for question in ("f?", "?f", "%pinfo f"):
            printed = self.run_cell(question)
            self.assertIn("Signature: f(n: int) -> int", printed)
            self.assertIn("Docstring:\nDoubles.", printed)
        self.assertIn("return 2 * n", self.run_cell("f??"))
        self.assertEqual(self.run_cell("nowhere?"), "Object `nowhere` not found.\n")

    def test_magics_without_effect_and_rich_cells(self):
        for code in (
            "%matplotlib inline",
            "%load_ext autoreload\n%autoreload 2",
            "%config InlineBackend.figure_format = 'svg'",
        ):
            self.assertEqual(self.run_cell(code), "", code)
        self.run_cell("%%html\n<b>x</b>")
        self.assertEqual(shown[-1]["text/html"], "<b>x</b>\n")
        self.assertEqual(needs, [])

    def test_what_is_not_known_here_is_a_need(self):
        for code, what in (("%prun f()", "LANGUAGE"), ("%%cython\nx", "LANGUAGE"), ("%load_ext sql", "LANGUAGE"),
                           ("%xmode Docs", "LANGUAGE"), ("%run a.ipynb", "LANGUAGE"), ("ls", "PROCESS"),
                           ("get_ipython().system('ls')", "PROCESS"), ("get_ipython().events", "LANGUAGE")):  # fmt: skip
            needs.clear()
            self.raised(code)
            self.assertEqual([need for need, _ in needs], [what], code)

    def test_values_are_put_into_the_lines_of_magics(self):
        self.addCleanup(os.environ.pop, "OF_A_CELL", None)
        self.run_cell(
            "n, d = 'real.txt', {'a': [1, 2]}\ndef f():\n    inside = 'i'\n    %env OF_A_CELL {inside} $n {d['a'][1:]}"
        )
        self.assertEqual(self.run_cell("f()"), "env: OF_A_CELL=i real.txt [2]\n")
        for line, value in (
            ("$$n {{x}}", "$n {x}"),
            ("{nothing} $n", "{nothing} $n"),
            ("'$n' {n!r}", "'$n' 'real.txt'"),
            ("{", "{"),
        ):
            self.assertEqual(self.run_cell(f"%env OF_A_CELL={line}"), f"env: OF_A_CELL={value}\n")
        self.assertEqual(self.run_cell("%%writefile {n}\n{n}"), "Writing real.txt\n")
        with open("real.txt") as file:
            self.assertEqual(file.read(), "{n}\n")
        self.assertEqual(self.value("%time '{n}'"), "'{n}'")

    def test_magics_of_a_cell_may_be_within_others(self):
        self.assertEqual(self.run_cell("%%capture c\n\n%%time\nx = 3\nx"), "")
        self.assertEqual(self.value("c.stdout[:9], len(c.outputs), x"), "('CPU times', 1, 3)")
        self.assertIn("Wall time", self.run_cell("%%time\n%%capture c\nprint(1)"))
        self.assertEqual(self.value("c.stdout"), r"'1\n'")
        self.assertEqual(self.run_cell("%%capture c\n%%writefile a.txt\nx"), "")
        self.assertEqual(self.value("c.stdout"), r"'Writing a.txt\n'")
        self.run_cell("get_ipython().run_cell_magic('capture', 'c', 'print(2)')")
        self.assertEqual(self.value("c.stdout"), r"'2\n'")
        with self.assertRaises(program.Raised) as caught:
            self.run_cell("%%time\n%%capture\n1 / 0")
        self.assertEqual(caught.exception.args[0][3], 3)

    def test_output_is_no_longer_kept_after_a_cell_that_fails_at_its_end(self):
        def fail():
            raise KeyboardInterrupt

        self.addCleanup(representations.before_end.clear)
        representations.before_end.append(fail)
        self.raised("%%capture\n1")
        representations.before_end.clear()
        self.assertEqual(self.run_cell("print('seen')"), "seen\n")

    def test_options_are_honoured_or_refused(self):
        shown.clear()
        self.run_cell("%time 5;")
        self.run_cell("%timeit -n1 -r1 -q -v t 5")
        self.assertEqual((list(shown), self.value("t.loops")), ([], "1"))
        for code, what in (("%history -g x", "LANGUAGE"), ("%history ~1/", "LANGUAGE"), ("%run -t a.py", "LANGUAGE"),
                           ("%matplotlib qt", "LANGUAGE"), ("%autoreload 7", "LANGUAGE"), ("%time --no-raise-error 1", "LANGUAGE"),
                           ("%cd -b", "LANGUAGE")):  # fmt: skip
            needs.clear()
            self.raised(code)
            self.assertEqual([need for need, _ in needs], [what], code)
        for code in ("%colors Rainbow", "%autosave soon", "%reset everything", "%history -z"):
            self.assertEqual(self.raised(code), "UsageError", code)

    def test_a_line_needs_no_sign_unless_its_word_has_a_meaning(self):
        self.assertEqual(self.run_cell("who int"), "No variables match your requested type.\n")
        self.assertEqual(self.value("precision 2"), "'%.2f'")
        self.assertEqual(self.run_cell("matplotlib inline"), "")
        self.assertEqual(self.run_cell("reset -f"), "")
        self.run_cell("precision = 4")
        self.assertEqual(self.value("precision - 1"), "3")
        self.assertEqual(self.raised("autoreload"), "NameError")

    def test_modules_that_changed_are_loaded_again(self):
        self.addCleanup(sys.modules.pop, "changing_module", None)
        text = "from time import sleep\nclass A:\n    def f(self): return {0}\ndef g(): return {0}\nVALUE = {0}\n"
        self.run_cell(
            "%load_ext autoreload\n%autoreload 2\nimport sys\nsys.path.insert(0, '.')\nsys.dont_write_bytecode = True"
        )
        self.run_cell("%%writefile changing_module.py\n" + text.format(1))
        self.run_cell("import changing_module\nfrom changing_module import A, g\na = A()")
        self.run_cell("%%writefile changing_module.py\n" + text.format(1002))
        self.assertEqual(self.value("changing_module.VALUE, a.f(), g(), A().f()"), "(1002, 1002, 1002, 1002)")
        self.run_cell("%%writefile changing_module.py\n1 +")
        self.assertIn("[autoreload of changing_module failed: SyntaxError", self.run_cell("print(g())"))
        self.assertEqual(self.run_cell("print(g())"), "1002\n")

    def test_the_shell_is_a_kernels_and_what_it_lacks_is_a_need(self):
        before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "IPython"}
        shells = package.module("interactive_shell")
        ipython.install(*shells.CLASSES)
        self.addCleanup(sys.modules.update, before)
        self.addCleanup(
            lambda: [sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] == "IPython"]
        )
        self.assertEqual(self.value("type(get_ipython()).__name__"), "'ZMQInteractiveShell'")
        self.assertEqual(self.value("'IPKernelApp' in get_ipython().config"), "True")
        self.assertEqual(
            self.value("import builtins, IPython\nlen({get_ipython, builtins.get_ipython, IPython.get_ipython})"), "1"
        )
        self.assertEqual(needs, [])
        for code in ("get_ipython().display_formatter.mimebundle_formatter", "import IPython\nIPython.embed",
                     "get_ipython().display_formatter.formatters['text/plain'].max_width",
                     "get_ipython().display_formatter.formatters['text/html'].enabled = False",
                     "get_ipython().display_formatter.active_types = ['text/plain']"):  # fmt: skip
            needs.clear()
            self.raised(code)
            self.assertEqual([need for need, _ in needs], ["LANGUAGE"], code)

    def test_the_output_of_a_command_is_lines_with_their_own_methods(self):
        self.run_cell("x = get_ipython()._lines(['b 10 .', 'a 9 /', ''])")
        for code, value in (
            ("type(x).__name__, x == ['b 10 .', 'a 9 /', ''], x.l is x", "('SList', True, True)"),
            ("x.s, x.nlstr, x.fields(1, 0)", "('b 10 . a 9 / ', 'b 10 .\\na 9 /\\n', ['10 b', '9 a'])"),
            ("x.fields(-1).p == [__import__('pathlib').Path(each) for each in './']", "True"),
            (
                "x.grep('B'), x.grep('9', field=1, prune=True), x.grep(lambda line: not line)",
                "(['b 10 .'], ['b 10 .', ''], [''])",
            ),
            ("x.fields()", "[['b', '10', '.'], ['a', '9', '/'], []]"),
            ("x.sort(1, nums=True), x.sort()", "(['', 'a 9 /', 'b 10 .'], ['', 'a 9 /', 'b 10 .'])"),
        ):
            self.assertEqual(self.value(code).replace("\n", ""), value, code)

    def test_exceptions_are_shown_in_the_mode_that_was_chosen(self):
        def shown(mode):
            self.run_cell(f"%xmode {mode}")
            with self.assertRaises(program.Raised) as caught:
                self.run_cell("def f(a, *b):\n    y = a + 1\n    return y / 0\nf(3)")
            return caught.exception.args[0][2]

        self.assertEqual(shown("Minimal"), "ZeroDivisionError: division by zero\n")
        first = "Traceback (most recent call last):\n  Cell In[{0}], line 4\n    f(3)\n  Cell In[{0}], line 3 in f\n"
        self.assertEqual(
            shown("plain"), first.format(self.number) + "    return y / 0\n\nZeroDivisionError: division by zero\n"
        )
        verbose = shown("Verbose")
        self.assertIn(f"Cell In[{self.number}], line 3, in f(a=3, *b=())\n", verbose)
        self.assertIn("----> 3     return y / 0\n        y = 4\n", verbose)
        self.assertIn("in f(a, *b)\n", shown("Context"))

    def test_functions_that_cells_register_represent_values(self):
        self.run_cell("class A: pass\nformatters = get_ipython().display_formatter.formatters")
        self.run_cell("formatters['text/html'].for_type(A, lambda a: '<a>')")
        self.run_cell("formatters['text/plain'].for_type(A, lambda a, p, cycle: p.text('an A'))")
        self.run_cell("formatters['text/plain'].for_type(int, lambda n, p, cycle: p.text(hex(n)))")
        self.run_cell("A()")
        self.assertEqual(shown[-1], {"text/plain": "an A", "text/html": "<a>"})
        self.assertEqual(
            (self.value("[A(), 17]"), self.value("10"), self.value("True")), ("[an A, 0x11]", "0xa", "0x1")
        )
        self.run_cell("formatters['text/plain'].pop(int);")
        self.assertEqual(self.value("10"), "10")
        # As sympy's `init_printing` does: for the rest, the text that IPython itself would print.
        self.run_cell("from IPython.lib.pretty import pretty")
        self.run_cell("formatters['text/plain'].for_type(list, lambda v, p, cycle: p.text('L' + pretty(v)));")
        self.assertEqual(self.value("['a', [1]]"), "L['a', [1]]")
        self.run_cell("formatters['text/plain'].pop(list);")
        self.run_cell("formatters['text/html'].for_type(A, lambda a: 1 / 0);")
        self.assertIn("ZeroDivisionError", self.run_cell("A()"))
        self.assertEqual(shown[-1], {"text/plain": "an A"})

    def test_values_bring_their_own_data_and_charts(self):
        self.run_cell(
            "class A:\n    def _repr_e2b_data_(self): return {1: [0.5]}\n    def _repr_e2b_chart_(self): return {'type': 'bar'}\nA()"
        )
        self.assertEqual(shown[-1][representations.DATA], '{"1":[0.5]}')
        self.assertEqual(shown[-1][representations.CHART], '{"type":"bar"}')


if __name__ == "__main__":
    unittest.main()
