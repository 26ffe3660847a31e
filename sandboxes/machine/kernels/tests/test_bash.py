"""The kernel for bash of a machine, as a process of its own."""

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import kernels
import machine


class Bash(kernels.Case):
    ARGV = ["bash", str(kernels.KERNELS / "bash.sh")]

    def fails(self, status, ran):
        ending = {"exit": "raised", "name": "", "value": str(status), "traceback": "", "line": None}
        self.assertEqual(ran.ending, ending, ran)
        return ran

    def test_variables_folders_functions_aliases_and_jobs_stay(self):
        kernel = self.kernel()
        self.ran(
            "n=3\ncd /tmp\ntwice() { echo $(($1 * 2)); }\nalias hi='echo hi'\ndeclare -A m=([a]=1)\nlist=(1 2)",
            kernel=kernel,
        )
        self.prints("3\n/tmp\n8\nhi\n1 2\n", "echo $n\npwd\ntwice 4\nhi\necho ${m[a]} ${#list[@]}", kernel=kernel)
        self.ran("sleep 60 &", kernel=kernel)
        self.prints("1\n", "jobs -p | wc -l", kernel=kernel)
        self.ran("kill %1; wait", kernel=kernel)

    def test_both_streams_are_output_as_with_e2b(self):
        self.prints("out\nerr\nno end", "echo out; echo err >&2; printf 'no end'")

    def test_a_failed_cell_tells_its_status_and_the_shell_goes_on(self):
        kernel = self.kernel()
        self.assertEqual(self.fails(2, kernel.cell("echo before; ls /no/such/folder 2> /dev/null")).out, "before\n")
        self.fails(127, kernel.cell("no-such-command-anywhere"))
        self.assertIn("syntax error", self.fails(2, kernel.cell("if then")).out)
        self.fails(1, kernel.cell("set -u; echo $nope"))
        self.fails(1, kernel.cell("set +u; echo ${nope?}"))
        self.prints("on\n", "echo on", kernel=kernel)

    def test_exit_gives_the_next_cell_a_new_shell(self):
        kernel = self.kernel(env={"GIVEN": "a 'b'\nc"})
        self.prints("exit\nRestarting Bash\n", "n=3; export E=4; cd /; exit 3", kernel=kernel)
        self.prints(f"on  a 'b'\nc {kernel.home}\n", 'echo "on $n$E $GIVEN $PWD"', kernel=kernel)
        self.prints("Restarting Bash\n", "set -e\nfalse\necho never", kernel=kernel)
        self.prints("again\n", "echo again", kernel=kernel)

    def test_nothing_of_the_kernel_is_around_a_cell(self):
        kernel = self.kernel()
        self.assertIn("only meaningful in a", self.ran("break; echo after", kernel=kernel).out)
        self.fails(2, kernel.cell("return 3"))
        self.prints("0\n1\n2\n3\n", "ls /proc/self/fd | grep -v 63", kernel=kernel)
        self.ran(
            "IFS=,; set -f; read() { :; }; printf() { :; }; trap() { :; }; eval() { :; }; shopt -s nocasematch",
            kernel=kernel,
        )
        self.prints("a b\n*\n", "x=a,b\necho $x\necho *", kernel=kernel)
        self.prints("+++ echo a\na\n", "set -x; echo a", kernel=kernel)
        self.prints("+++ echo b\nb\n", "echo b", kernel=kernel)
        self.ran("set +x", kernel=kernel)
        self.prints("five\n", "exec 5> file; echo five >&5; cat file", kernel=kernel)

    def test_every_text_arrives_as_it_is(self):
        kernel = self.kernel()
        for text in (
            "q'\"\\ \\\\n \\\\\\\\5 \t é € \U0001f40d !x %s %b \\c \\0101 \x01 \x7f { } : , [ ]",
            "a\nb\n\nc",
            "\\",
            '"',
        ):
            quoted = "'" + text.replace("'", "'\\''") + "'"
            self.prints(text, f"printf %s {quoted}", kernel=kernel)
            self.assertEqual(kernel.cell('printf %s "$K"', env={"K": text}).out, text)
            self.assertEqual(kernel.cell("cat", stdin=text).out, text)
        long = "x" * 300_000
        self.prints("300000\n", f"x='{long}'\necho ${{#x}}", kernel=kernel)

    def test_the_environment_of_a_kernel_stays_and_that_of_a_cell_goes(self):
        kernel = self.kernel(env={"GIVEN": "1"})
        look = 'echo "$GIVEN ${KERNEL-} ${CELL-none} $PWD"'
        first = kernel.cell(look, env={"CELL": "3", "GIVEN": "x", "no name": ""},
                            options={"env": {"KERNEL": "2"}, "folder": f"{kernel.home}/below/here"})  # fmt: skip
        self.assertEqual(first.out, f"x 2 3 {kernel.home}/below/here\n")
        self.assertEqual(kernel.cell(look).out, f"1 2 none {kernel.home}/below/here\n")

    def test_output_comes_while_a_cell_runs(self):
        kernel = self.kernel()
        kernel.start("echo first; until [ -e go ]; do sleep 0.01; done; echo second")
        kernel.wait_for("first\n")
        (kernel.home / "go").touch()
        self.assertEqual(kernel.answer().out, "first\nsecond\n")

    def test_an_interrupt_ends_the_cell_and_nothing_else(self):
        kernel = self.kernel()
        self.ran("kept=1", kernel=kernel)
        for does in ("sleep 60", "while :; do :; done", "(sleep 60)", "f() { sleep 60; }; f", "read x < <(sleep 60)", "sleep 60 | cat",
                     "x=$(sleep 60)"):  # fmt: skip
            with self.subTest(does):
                kernel.start(f"echo begun; {does}; echo never")
                kernel.wait_for("begun\n")
                # A command that is just being started may miss it: the host repeats its interrupts.
                time.sleep(0.02)
                kernel.interrupt()
                self.assertNotIn("never", self.fails(130, kernel.answer()).out)
                self.prints("1\n", "echo $kept", kernel=kernel)
        self.prints("exit\nRestarting Bash\n", "exit", kernel=kernel)
        kernel.start("echo begun; sleep 60")
        kernel.wait_for("begun\n")
        time.sleep(0.02)
        kernel.interrupt()
        self.fails(130, kernel.answer())

    def test_an_interrupt_between_cells_has_no_effect(self):
        kernel = self.kernel()
        for number in range(3):
            kernel.interrupt()
            self.prints(f"{number}\n", f"echo {number}", kernel=kernel)

    def test_a_cell_may_handle_signals_itself(self):
        kernel = self.kernel()
        self.ran("trap 'echo trapped' INT; trap 'echo usr' USR1", kernel=kernel)
        kernel.start("echo begun; sleep 60; echo goes on")
        kernel.wait_for("begun\n")
        time.sleep(0.02)
        kernel.interrupt()
        out = kernel.answer().out
        self.assertTrue(out.startswith("begun\ntrapped\n") and out.endswith("goes on\n"), out)
        self.prints("usr\n", "kill -USR1 $$", kernel=kernel)

    def test_much_output_arrives_whole(self):
        self.assertEqual(len(self.ran("head -c 10000000 /dev/zero | tr '\\0' x").out), 10_000_000)

    def test_a_program_is_a_script_of_its_own(self):
        kernel = self.kernel()
        ran = kernel.program("n=5; echo ${0##*/}; echo err >&2; cat; exit 4", stdin="in")
        self.assertEqual((ran.ending, ran.out, ran.err), ({"exit": "finished", "code": 4}, "main.sh\nin", "err\n"))
        self.assertEqual(list(kernel.home.iterdir()), [])
        self.assertEqual(kernel.program("if then").ending, {"exit": "finished", "code": 2})

    def test_the_end_of_the_socket_or_of_the_shell_ends_the_kernel(self):
        self.assertEqual(self.kernel().close(), 0)
        with self.assertRaises(machine.Died):
            self.kernel().cell("kill -9 $$")


if __name__ == "__main__":
    unittest.main()
