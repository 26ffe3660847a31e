"""Lines of cells that are not Python: what runs without them, and what is reported as a need."""

import unittest

import package

needs: list[tuple[str, str]] = []
package.use("shared", host={"report_need": lambda what, detail: needs.append((what, detail))})
magics, registry, commands = map(package.module, ("magics", "magic_registry", "cell_commands"))


def python_of(code):
    """Returns the cell's Python as the kernel gets it."""
    source, _ = magics.split_cell(magics.normalize(code), {})
    try:
        compile(source, "<test>", "exec")
    except SyntaxError as error:
        return magics.to_python(source, error)
    return source


class Magics(unittest.TestCase):
    def setUp(self):
        needs.clear()

    def test_cells_are_normalized_as_a_notebook_does(self):
        self.assertEqual(magics.normalize("\n  x = 1\n  y = 2"), "x = 1\ny = 2\n")
        self.assertEqual(magics.normalize(">>> x = 1\n... y"), "x = 1\ny\n")
        self.assertEqual(magics.normalize("x\r\ny"), "x\ny\n")

    def test_magics_that_kernels_run_become_calls(self):
        for code, python in (
            ("%matplotlib inline\nx = 1", "get_ipython().run_line_magic('matplotlib', 'inline')\nx = 1\n"),
            ("if 1:\n    %time f('a')", "if 1:\n    get_ipython().run_line_magic('time', \"f('a')\")\n"),
            ("x = %timeit -o f()", "x = get_ipython().run_line_magic('timeit', '-o f()')\n"),
            ("%%timeit -n1\nf()\n", "get_ipython().run_cell_magic('timeit', '-n1', 'f()\\n')"),
            ("len?", "get_ipython().run_line_magic('pinfo', 'len')\n"),
            ("??len", "get_ipython().run_line_magic('pinfo2', 'len')\n"),
            ("who", "get_ipython().run_line_magic('who', '')"),
            ("cd deep", "get_ipython().run_line_magic('cd', 'deep')"),
        ):
            self.assertEqual(python_of(code), python)
        self.assertEqual(needs, [])

    def test_a_magic_that_surrounds_a_cell_leaves_its_lines_where_they_are(self):
        self.assertEqual(magics.split_cell("%%capture out\nx = 1\n", {}), ("\nx = 1\n", [("capture", "out")]))

    def test_a_name_of_a_cell_is_no_magic(self):
        self.assertEqual(magics.split_cell("who", {"who": 1}), ("who", []))

    def test_commands_are_a_need_for_processes(self):
        for code, detail in (("!ls -l", "ls -l"), ("%pip install x > y", "pip install x > y"), ("files = !ls", "ls"), ("ls", "ls"),
                             ("if 1:\n  !pip install x && ls", "pip install x && ls"), ("%uv run x", "uv run x"),
                             ("%conda install x", "conda install x"), ("%sx ls", "sx ls")):  # fmt: skip
            with self.assertRaises(OSError):
                python_of(code)
            self.assertEqual(needs.pop(), ("PROCESS", detail))

    def test_commands_for_pip_are_a_need_for_its_answers_and_calls_where_these_are(self):
        for code, python in (
            ("%pip install x", "get_ipython().run_line_magic('pip', 'install x')\n"),
            ("for p in 'x':\n  !pip install {p}", "for p in 'x':\n  get_ipython().system('pip install {p}')\n"),
            (
                "!{sys.executable} -m pip list | grep $x",
                "get_ipython().system('{sys.executable} -m pip list | grep $x')\n",
            ),
            ("found = !pip list", "found = get_ipython().getoutput('pip list')\n"),
            ("x = %sx pip list", "x = get_ipython().run_line_magic('sx', 'pip list')\n"),
            ("!!pip list", "get_ipython().getoutput('pip list')\n"),
        ):
            with self.subTest(code):
                with self.assertRaises(OSError):
                    python_of(code)
                self.assertEqual(needs.pop(), ("MODULE", "pip"))
                commands.answer = lambda line: (0, "", "")
                try:
                    self.assertEqual(python_of(code), python)
                finally:
                    commands.answer = None
                self.assertEqual(needs, [])

    def test_other_magics_are_a_need_for_the_shell(self):
        for code, detail in (("%prun f()", "%prun f()"), ("%%cython\n1", "%cython"), ("load a.py", "%load a.py")):
            with self.assertRaises(registry.UsageError):
                python_of(code)
            self.assertEqual(needs.pop(), ("LANGUAGE", detail))

    def test_what_is_neither_python_nor_a_magic_stays_a_syntax_error(self):
        with self.assertRaises(SyntaxError):
            python_of("x = (")
        self.assertEqual(needs, [])


if __name__ == "__main__":
    unittest.main()
