"""Lines of cells that are not Python: what runs without them, and what is reported as a need."""

import unittest

import package

needs: list[tuple[str, str]] = []
package.use("shared", host={"report_need": lambda what, detail: needs.append((what, detail))})
magics = package.module("magics")


def python_of(code):
    """Returns the cell's Python as the kernel gets it."""
    source = magics.normalize(code)
    magics.report_need(source, {})
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

    def test_magics_without_effect_are_dropped(self):
        self.assertEqual(python_of("%matplotlib inline\nx = 1"), "pass\nx = 1\n")
        self.assertEqual(python_of("if 1:\n    %load_ext autoreload"), "if 1:\n    pass\n")
        self.assertEqual(needs, [])

    def test_commands_are_a_need_for_processes(self):
        for code, detail in (("!ls -l", "ls -l"), ("%pip install x", "pip install x"), ("files = !ls", "ls"),
                             ("%%bash\necho 1", "bash"), ("pip install x", "pip install x"), ("ls", "ls")):  # fmt: skip
            with self.assertRaises(OSError):
                python_of(code)
            self.assertEqual(needs.pop(), ("PROCESS", detail))

    def test_other_magics_and_questions_are_a_need_for_the_shell(self):
        for code, detail in (("%timeit 1", "%timeit 1"), ("%%time\n1", "%time"), ("len?", "len?"), ("who", "%who")):
            with self.assertRaises(magics.UsageError):
                python_of(code)
            self.assertEqual(needs.pop(), ("LANGUAGE", detail))

    def test_what_is_neither_python_nor_a_magic_stays_a_syntax_error(self):
        with self.assertRaises(SyntaxError):
            python_of("x = (")
        self.assertEqual(needs, [])


if __name__ == "__main__":
    unittest.main()
