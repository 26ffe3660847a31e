"""Promises about commands and terminals, with the class `Sandbox`."""

import hashlib
import threading

from e2b import PtySize
from e2b.exceptions import NotFoundException, TimeoutException
from e2b.sandbox.commands.command_handle import CommandExitException
from e2b_code_interpreter import Sandbox
from promises import keep_all, promise, raises, wait_until


def listed(sandbox):
    return {process.pid: process for process in sandbox.commands.list()}


@promise
def a_command_returns_both_streams_and_its_exit_code(sandbox):
    done = sandbox.commands.run("echo out; echo err >&2")
    assert (done.exit_code, done.stdout, done.stderr, done.error) == (0, "out\n", "err\n", None), done
    failed = raises(CommandExitException, sandbox.commands.run, "echo before; echo why >&2; exit 7")
    assert (failed.exit_code, failed.stdout, failed.stderr) == (7, "before\n", "why\n"), failed
    assert raises(CommandExitException, sandbox.commands.run, "no-such-program").exit_code == 127
    signalled = raises(CommandExitException, sandbox.commands.run, "exec sh -c 'kill -TERM $$'")
    assert signalled.exit_code != 0 and "terminated" in signalled.error, signalled


@promise
def output_is_passed_to_callbacks_while_the_command_runs(sandbox):
    """The command ends only because a callback saw its first line."""
    seen = []

    def on_stdout(text):
        seen.append(("stdout", text))
        if "ready" in text:
            sandbox.files.write("/tmp/go", "")

    command = "echo ready; until [ -e /tmp/go ]; do sleep 0.02; done; echo warned >&2; sleep 0.1; echo done"
    done = sandbox.commands.run(command, on_stdout=on_stdout, on_stderr=lambda text: seen.append(("stderr", text)))
    assert seen == [("stdout", "ready\n"), ("stderr", "warned\n"), ("stdout", "done\n")], seen
    assert done.stdout == "ready\ndone\n", done
    counted = []
    done = sandbox.commands.run("seq 1000", on_stdout=counted.append, retain_output=False)
    assert done.stdout is None and "".join(counted).split() == [str(n) for n in range(1, 1001)]


@promise
def a_command_in_the_background_is_listed_until_it_is_waited_for_or_killed(sandbox):
    waited = sandbox.commands.run("read line; echo got $line; exit 3", background=True, stdin=True, cwd="/tmp")
    process = listed(sandbox)[waited.pid]
    assert process.cmd == "/bin/bash" and process.args[-1].startswith("read line") and process.cwd == "/tmp", process
    sandbox.commands.send_stdin(waited.pid, "it\n")
    ended = raises(CommandExitException, waited.wait)
    assert (ended.exit_code, ended.stdout) == (3, "got it\n"), ended
    killed = sandbox.commands.run("sleep 600", background=True)
    assert killed.kill()
    ended = raises(CommandExitException, killed.wait)
    assert ended.exit_code != 0 and "killed" in ended.error, ended
    assert not {waited.pid, killed.pid} & set(listed(sandbox))
    assert not sandbox.commands.kill(killed.pid)


@promise
def a_second_client_connects_to_a_running_command(sandbox):
    first = sandbox.commands.run("read line; echo $line; exit 5", background=True, stdin=True)
    other = Sandbox.connect(sandbox.sandbox_id)
    second = other.commands.connect(first.pid)
    other.commands.send_stdin(first.pid, "to both\n")
    for handle in first, second:
        ended = raises(CommandExitException, handle.wait)
        assert (ended.exit_code, ended.stdout) == (5, "to both\n"), ended
    # The end of a command is kept for a while, for those that connect a moment too late.
    assert raises(CommandExitException, other.commands.connect(first.pid).wait).exit_code == 5
    raises(NotFoundException, sandbox.commands.connect, 999_999)


@promise
def input_arrives_as_it_is_sent_until_it_is_closed(sandbox):
    upper = sandbox.commands.run("tr a-z A-Z", background=True, stdin=True)
    upper.send_stdin("some ")
    sandbox.commands.send_stdin(upper.pid, b"more \xc5\xbc\n")
    sandbox.commands.stream_input(upper.pid, iter([b"and", b" streamed"]))
    upper.close_stdin()
    assert upper.wait().stdout == "SOME MORE ż\nAND STREAMED", upper
    data = bytes(range(256)) * 4096
    digest = sandbox.commands.run("sha256sum", background=True, stdin=True)
    digest.send_stdin(data)
    digest.close_stdin()
    assert digest.wait().stdout.split()[0] == hashlib.sha256(data).hexdigest()
    assert sandbox.commands.run("cat").stdout == "", "without stdin its input is empty"
    raises(NotFoundException, sandbox.commands.send_stdin, 999_999, "nobody")


@promise(envs={"OF": "the sandbox", "BOTH": "the sandbox"})
def a_command_has_the_variables_and_the_folder_that_are_asked_for(sandbox):
    shown = "echo $OF, $BOTH, $OWN; pwd"
    done = sandbox.commands.run(shown, envs={"BOTH": "the command", "OWN": "żółć 'quoted' \"$HOME\""}, cwd="/usr/lib")
    assert done.stdout == "the sandbox, the command, żółć 'quoted' \"$HOME\"\n/usr/lib\n", done.stdout
    assert sandbox.commands.run(shown).stdout == "the sandbox, the sandbox,\n/home/user\n"
    sandbox.commands.run("mkdir -p below/it")
    assert sandbox.commands.run("pwd", cwd="below/it").stdout == "/home/user/below/it\n"
    assert "no/such" in str(raises(Exception, sandbox.commands.run, "pwd", cwd="/no/such"))


@promise
def a_command_runs_as_user_or_as_root(sandbox):
    who = "id -un; echo $USER $HOME; pwd"
    assert sandbox.commands.run(who).stdout == "user\nuser /home/user\n/home/user\n"
    assert sandbox.commands.run(who, user="root").stdout == "root\nroot /root\n/root\n"
    sandbox.commands.run("install -m 600 /dev/null /srv/of-root && echo secret > /srv/of-root", user="root")
    refused = raises(CommandExitException, sandbox.commands.run, "cat /srv/of-root")
    assert "Permission denied" in refused.stderr, refused
    assert sandbox.commands.run("sudo cat /srv/of-root").stdout == "secret\n"
    assert "nobody-here" in str(raises(Exception, sandbox.commands.run, "true", user="nobody-here"))


@promise
def a_command_past_its_time_limit_is_ended_and_one_without_a_limit_is_not(sandbox):
    raises(TimeoutException, sandbox.commands.run, "echo $$ > /tmp/pid; exec sleep 600", timeout=1)
    pid = int(sandbox.files.read("/tmp/pid"))
    wait_until(lambda: not sandbox.commands.run(f"ls -d /proc/{pid} 2> /dev/null || true").stdout)
    assert sandbox.commands.run("sleep 1.2; echo ended", timeout=0).stdout == "ended\n"


@promise
def a_process_outlives_the_stream_of_its_output(sandbox):
    command = "until [ -e /tmp/go ]; do sleep 0.02; done; echo still here; exit 4"
    handle = sandbox.commands.run(command, background=True, timeout=0)
    handle.disconnect()
    assert handle.pid in listed(sandbox)
    again = sandbox.commands.connect(handle.pid)
    sandbox.files.write("/tmp/go", "")
    ended = raises(CommandExitException, again.wait)
    assert (ended.exit_code, ended.stdout) == (4, "still here\n"), ended
    sandbox.commands.run("nohup sleep 600 > /dev/null 2>&1 & echo $! > /tmp/daemon")
    assert sandbox.commands.run("kill -0 $(cat /tmp/daemon) && echo alive").stdout == "alive\n"


@promise
def long_output_and_text_of_any_script_arrive_whole(sandbox):
    snakes = sandbox.commands.run("""python3 -c 'print("🐍żółć" * 200_000, end="")'""").stdout
    assert snakes == "🐍żółć" * 200_000, (len(snakes), snakes[:20])
    both = sandbox.commands.run("seq 300000; seq 300000 >&2")
    lines = "".join(f"{n}\n" for n in range(1, 300_001))
    assert both.stdout == lines and both.stderr == lines, (len(both.stdout), len(both.stderr))
    assert sandbox.commands.run("printf 'a\\xffb'").stdout == "a\ufffdb", "what is no UTF-8 is replaced"


@promise
def commands_run_side_by_side(sandbox):
    """Each of them waits for the files of all others."""
    done, meet = [], "touch /tmp/m$N; until [ $(ls /tmp/m* | wc -l) = 6 ]; do sleep 0.02; done; echo $N"

    def run(number):
        done.append(sandbox.commands.run(meet, envs={"N": str(number)}).stdout)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [f"{number}\n" for number in range(6)], done


class Terminal:
    """A terminal, and what it has printed."""

    def __init__(self, sandbox, handle):
        self.sandbox, self.handle, self.events, self.printed = sandbox, handle, iter(handle), b""

    def type(self, text):
        self.sandbox.pty.send_stdin(self.handle.pid, text.encode())

    def read_until(self, text):
        while text not in self.printed:
            _, _, piece = next(self.events)
            self.printed += piece or b""
        before, _, self.printed = self.printed.partition(text)
        return before


@promise(envs={"OF": "the-sandbox"})
def a_terminal_has_a_size_a_folder_and_variables_and_passes_keys_on(sandbox):
    handle = sandbox.pty.create(PtySize(rows=24, cols=80), cwd="/usr", envs={"OWN": "mine"}, timeout=0)
    terminal = Terminal(sandbox, handle)
    terminal.type("stty -echo; echo $(stty size) $PWD $OF $OWN $TERM $(tty | cut -c1-9) END\n")
    terminal.read_until(b"24 80 /usr the-sandbox mine xterm-256color /dev/pts/ END\r\n")
    terminal.type("trap 'stty size' WINCH; echo trapped\n")
    terminal.read_until(b"trapped\r\n")
    sandbox.pty.resize(handle.pid, PtySize(rows=50, cols=132))
    # A shell runs the trap at its next command.
    terminal.type("\n")
    terminal.read_until(b"50 132\r\n")
    terminal.type("sleep 600; echo status $?\n")
    wait_until(lambda: "sleep" in sandbox.commands.run("ps -eo args | grep '^[s]leep' || true").stdout)
    terminal.type("\x03")
    terminal.type("python3 -q; echo left\n")
    terminal.read_until(b">>> ")
    terminal.type("'ż' * 3\n")
    terminal.read_until("'żżż'\r\n>>> ".encode())
    terminal.type("\x04")
    terminal.read_until(b"left\r\n")
    terminal.type("exit 9\n")
    ended = raises(CommandExitException, handle.wait)
    assert ended.exit_code == 9, ended


@promise
def a_terminal_is_connected_to_again_and_killed(sandbox):
    handle = sandbox.pty.create(PtySize(rows=10, cols=40), user="root", timeout=0)
    handle.disconnect()
    again = Terminal(sandbox, sandbox.pty.connect(handle.pid, timeout=0))
    again.type("echo I am $(id -un)\n")
    again.read_until(b"I am root\r\n")
    assert handle.pid in listed(sandbox)
    assert sandbox.pty.kill(handle.pid)
    raises(CommandExitException, again.handle.wait)
    assert handle.pid not in listed(sandbox) and not sandbox.pty.kill(handle.pid)
    raises(NotFoundException, sandbox.pty.connect, 999_999)


keep_all()
