"""The kernel for JavaScript of a machine, as a process of its own."""

import pathlib
import shutil
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import kernels
import machine

INTERRUPTED = "Script execution was interrupted by `SIGINT`"


class Node(kernels.Case):
    ARGV = ["node", "--expose-internals", str(kernels.KERNELS / "node.js")]

    def setUp(self):
        if shutil.which("node") is None:
            self.skipTest("node is not installed")

    def shows(self, text, *cells, kernel=None):
        ran = self.ran(*cells, kernel=kernel)
        self.assertEqual([shown["text/plain"] for shown, main in ran.shown if main], [text], ran)
        return ran

    def raises(self, ran, name, value=None):
        self.assertEqual((ran.ending["exit"], ran.ending.get("name")), ("raised", name), ran)
        if value is not None:
            self.assertEqual(ran.ending["value"], value)
        return ran.ending


class Cells(Node):
    def test_names_stay_and_may_be_declared_again(self):
        kernel = self.kernel()
        first = "const a = 1; let b = [2]; class C { m() { return a } }\nfunction f() { return b }"
        self.shows("[ 1, [ 2 ], 1 ]", first, "[a, f(), new C().m()]", kernel=kernel)
        self.shows(
            "[ 3, 4, 5 ]", "const a = 3, b = 4; class C { m() { return 5 } }\n[a, b, new C().m()]", kernel=kernel
        )
        self.shows("'function'", "const crypto = require('crypto'); typeof crypto.createHash", kernel=kernel)

    def test_the_value_of_the_last_expression_is_shown_and_data_as_json(self):
        ran = self.shows("{ a: [ 1, null ] }", "({ a: [1, null] })")
        self.assertEqual(ran.shown[0][0]["application/json"], '{"a":[1,null]}')
        kernel = self.kernel()
        for source, text in (("'a' + 1", "'a1'"), ("null", "null"), ("10n", "10n"), ("x => x", "[Function (anonymous)]"),
                             ("new Map([[1, 2]])", "Map(1) { 1 => 2 }"), ("`${1}`; // end", "'1'")):  # fmt: skip
            self.shows(text, source, kernel=kernel)
        for source in ("undefined", "let u = 5", "if (true) 7", "", "// nothing", "const p = await 1"):
            self.assertEqual(self.ran(source, kernel=kernel).shown, [], source)

    def test_a_cell_may_await_and_what_it_declares_stays(self):
        kernel = self.kernel()
        self.shows("'Hello World!'", "\n    await Promise.resolve('Hello World!')\n    ", kernel=kernel)
        source = ("const { a, b: [c = 7], ...rest } = await Promise.resolve({ a: 1, b: [], d: 2 }), n = 3\nlet unset\n"
                  "function f() { return a }\nclass K {}\nfor (var i = 0; i < 2; i++) await null\n"
                  "if (n) { var deep = await 4 }\nfor await (const x of [1]) var last = x")  # fmt: skip
        self.shows("[ 1, 7, { d: 2 }, 3, undefined, 2, 4, 1, 1, 'K' ]", source,
                   "[a, c, rest, n, unset, i, deep, last, f(), K.name]", kernel=kernel)  # fmt: skip
        self.shows("8", "async function g() { return 8 }\ng()", kernel=kernel)

    def test_imports_are_found_from_the_working_directory(self):
        kernel = self.kernel()
        (kernel.home / "own.mjs").write_text("export default 1; export const two = 2; export const three = 3")
        (kernel.home / "old.js").write_text("module.exports = { four: 4 }")
        self.prints(
            "function\n",
            "\n    import { readFileSync } from 'fs'\n    console.log(typeof readFileSync)\n",
            kernel=kernel,
        )
        self.shows("[ 1, 2, 3, 1 ]", "import one, { two, three as drei } from './own.mjs'\nimport * as all from './own.mjs'",
                   "[one, two, drei, all.default]", kernel=kernel)  # fmt: skip
        self.shows(
            "[ 2, 4 ]",
            "import {\n  two\n} from './own.mjs'\nconst { four } = require('./old');\n[two, four]",
            kernel=kernel,
        )
        self.shows("3", "(await import('./own.mjs')).three", kernel=kernel)
        self.assertEqual(self.ran("import os from 'os'", kernel=kernel).err, "")
        self.shows("5", "export const five = 5; five", kernel=kernel)

    def test_output_is_in_both_streams_and_timers_go_on_between_cells(self):
        kernel = self.kernel()
        ran = self.ran("console.log('out', { a: 1 }); console.error('err')", kernel=kernel)
        self.assertEqual((ran.out, ran.err), ("out { a: 1 }\n", "err\n"))
        self.ran("setTimeout(() => console.log('late'), 20)\nnull", kernel=kernel)
        kernel.wait_for("late")

    def test_errors_have_the_cells_own_frames_and_its_line(self):
        kernel = self.kernel()
        ending = self.raises(kernel.cell("function f(n) {\n  return n.x.y\n}\nf({})"), "TypeError")
        self.assertEqual((ending["value"], ending["line"]), ("Cannot read properties of undefined (reading 'y')", 2))
        self.assertTrue(ending["traceback"].endswith("    at f ([cell 1]:2:14)\n    at [cell 1]:4:1"), ending)
        self.assertEqual(self.raises(kernel.cell("\nlet z = ;"), "SyntaxError")["line"], 2)
        self.assertEqual(self.raises(kernel.cell("await 1\n\nnope"), "ReferenceError")["line"], 3)
        self.raises(kernel.cell("Promise.reject(new RangeError('no'))"), "RangeError", "no")
        self.raises(kernel.cell("throw 'text'"), "string", "'text'")
        self.raises(kernel.cell("throw null"), "object", "null")
        self.raises(kernel.cell("throw { get stack() { throw 1 }, get name() { throw 2 } }"), "object")
        self.raises(kernel.cell("require('./nowhere')"), "Error")
        self.raises(kernel.cell("import './nowhere.mjs'"), "Error")

    def test_an_error_that_nobody_handles_is_told_and_the_kernel_goes_on(self):
        kernel = self.kernel()
        self.assertIn("Error: nobody", self.ran("Promise.reject(new Error('nobody')); null", kernel=kernel).err)
        kernel.start("setTimeout(() => { throw new Error('late') }, 5); setTimeout(() => console.log('after'), 30)")
        kernel.wait_for("after")
        self.assertIn("Error: late", kernel.answer().err)
        self.shows("1", "1", kernel=kernel)

    def test_the_environment_of_a_kernel_stays_and_that_of_a_cell_goes(self):
        kernel = self.kernel(env={"GIVEN": "1"})
        look = "[process.env.GIVEN, process.env.KERNEL, process.env.CELL, process.cwd()]"
        first = kernel.cell(look, env={"CELL": "3"}, options={"env": {"KERNEL": "2"}, "folder": "below/here"})
        here = str(kernel.home / "below" / "here")
        self.assertEqual(first.shown[0][0]["application/json"], f'["1","2","3","{here}"]')
        self.assertEqual(kernel.cell(look).shown[0][0]["application/json"], f'["1","2",null,"{here}"]')

    def test_input_is_what_was_given_for_the_cell(self):
        kernel = self.kernel()
        read = "require('fs').readFileSync(0, 'utf8')"
        self.assertEqual(kernel.cell(read, stdin="one").shown[0][0]["text/plain"], "'one'")
        self.assertEqual(kernel.cell(read).shown[0][0]["text/plain"], "''")
        stream = "let text = ''; for await (const part of process.stdin) text += part; text"
        self.assertEqual(kernel.cell(stream, stdin="two").shown[0][0]["text/plain"], "'two'")

    def test_interrupts_end_a_loop_and_a_wait_and_have_no_effect_between_cells(self):
        kernel = self.kernel()
        for does in ("while (true) {}", "await new Promise(() => {})", "await new Promise((r) => setTimeout(r, 60000))",
                     "require('child_process').execSync('sleep 60')", "new Promise(() => {})"):  # fmt: skip
            with self.subTest(does):
                kernel.start(f"console.log('begun')\n{does}")
                kernel.wait_for("begun\n")
                # A command that is just being started may miss it: the host repeats its interrupts.
                time.sleep(0.3)
                kernel.interrupt()
                value = self.raises(kernel.answer(), "Error")["value"]
                # Where a command was interrupted as well, its end may be noticed first.
                self.assertIn(value, (INTERRUPTED, "Command failed: sleep 60"))
                kernel.interrupt()
                # It reaches the kernel by a thread of node's.
                time.sleep(0.3)
                self.shows("'on'", "'on'", kernel=kernel)

    def test_leaving_ends_the_kernel_with_its_code(self):
        with self.assertRaises(machine.Died) as died:
            self.kernel().cell("console.log('said'); process.exit(3)")
        self.assertEqual(died.exception.args[:2], (3, "said\n"))
        self.assertEqual(self.kernel().close(), 0)

    def test_much_output_and_many_values_arrive_whole(self):
        kernel = self.kernel()
        self.assertEqual(len(self.ran("console.log('x'.repeat(10_000_000))", kernel=kernel).out), 10_000_001)
        ran = self.ran("for (let n = 0; n < 10_000; n++) $$.display(n)", kernel=kernel)
        self.assertEqual([shown["text/plain"] for shown, _ in ran.shown], [str(n) for n in range(10_000)])
        self.assertEqual(self.ran("$$.html('<b>')", kernel=kernel).shown, [({"text/html": "<b>"}, False)])

    def test_other_programs_inherit_nothing_of_the_kernel(self):
        kernel = self.kernel()
        ran = self.ran(
            "console.log(require('child_process').execSync('ls /proc/self/fd') + '', process.execArgv)", kernel=kernel
        )
        self.assertEqual(ran.out.split(), ["0", "1", "2", "3", "[]"])

    def test_code_that_cannot_be_parsed_or_that_nests_deeply_does_not_break_the_kernel(self):
        kernel = self.kernel()
        for source in (
            "(" * 100_000,
            "[" * 5000 + "]" * 5000,
            "a\0b",
            "/* open",
            "`${",
            "await",
            "}",
            "import",
            "export",
        ):
            kernel.cell(source)
        self.shows("1", "1", kernel=kernel)


class Programs(Node):
    def program(self, source, **options):
        return self.kernel().program(source, **options)

    def test_a_program_ends_with_the_code_that_node_would_give(self):
        for source, code in (("process.exit(3)", 3), ("process.exitCode = 4", 4), ("", 0), ("return 5", 0),
                             ("await 1; process.exit(6)", 6)):  # fmt: skip
            with self.subTest(source):
                self.assertEqual(self.program(source).ending, {"exit": "finished", "code": code})

    def test_a_program_is_a_script_or_a_module_by_its_syntax(self):
        ran = self.program(
            "const fs = require('fs'); console.log(require.main === module, fs.readFileSync(0, 'utf8'))", stdin="in"
        )
        self.assertEqual(ran.out, "true in\n")
        ran = self.program(
            "import { sep } from 'path'\nconsole.log(sep, await Promise.resolve(2), import.meta.url.slice(-8))\nexport {}"
        )
        self.assertEqual(ran.out, "/ 2 main.mjs\n")
        self.assertEqual(self.program("console.log(process.env.K, process.argv.length)", env={"K": "v"}).out, "v 2\n")

    def test_the_end_of_a_program_comes_after_its_timers_and_handlers(self):
        ran = self.program(
            "setTimeout(() => { console.log('timer'); process.on('exit', (c) => console.log('exit', c)) }, 20)"
        )
        self.assertEqual(ran.out, "timer\nexit 0\n")

    def test_errors_have_the_programs_frames_and_its_line(self):
        ending = self.raises(self.program("\n\nfunction f() { null.x }\nf()"), "TypeError")
        self.assertEqual(ending["line"], 3)
        self.assertNotIn("node:", ending["traceback"])
        self.assertEqual(self.raises(self.program("await 1\nthrow new RangeError('r')"), "RangeError", "r")["line"], 2)
        self.raises(self.program("Promise.reject(new Error('un'))"), "Error", "un")
        self.raises(self.program("let x = ;"), "SyntaxError")
        caught = "process.on('uncaughtException', (e) => console.log('caught', e.message))\nthrow new Error('q')"
        ran = self.program(caught)
        self.assertEqual((ran.out, ran.ending), ("caught q\n", {"exit": "finished", "code": 0}))

    def test_the_file_of_a_program_goes_with_it_and_replaces_no_other(self):
        kernel = self.kernel()
        (kernel.home / "main.cjs").write_text("another")
        self.assertEqual(kernel.program("console.log(require('fs').readdirSync('.').length)").out, "2\n")
        self.assertEqual(kernel.process.wait(machine.DEADLINE), 0)
        self.assertEqual([file.name for file in kernel.home.iterdir()], ["main.cjs"])


if __name__ == "__main__":
    unittest.main()
