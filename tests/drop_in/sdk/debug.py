"""Drives an older client of E2B in its debug mode, in which all addresses are on this machine.

    E2B_DEBUG=true E2B_API_KEY=… python3 debug.py

Packages: e2b==1.11.1 e2b-code-interpreter==1.5.2. With these versions, this mode is the only way to use another server: the
control plane at localhost:3000, envd at localhost:49983, the interpreter at localhost:49999, all by plain HTTP. Only the
creation of a sandbox reaches the control plane; calls of envd have the token of its answer, and calls of the interpreter do
not name their sandbox. The script asserts its results. Newer clients create no sandbox in this mode and name `debug_sandbox_id`.
"""

import faulthandler
import os
import sys

from e2b_code_interpreter import Sandbox

try:
    from e2b import CommandExitException, NotFoundException, TimeoutException
except ImportError:
    from e2b.exceptions import NotFoundException, TimeoutException
    from e2b.sandbox.commands.command_handle import CommandExitException


def raises(kind, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def create_sandbox(**options):
    """Creates a sandbox; with older clients by a call of the class."""
    return Sandbox.create(**options) if hasattr(Sandbox, "create") else Sandbox(**options)


def cells(sandbox):
    assert sandbox.run_code("x = 41").text is None
    ran = sandbox.run_code("print('out')\nx + 1")
    assert (ran.text, ran.logs.stdout) == ("42", ["out\n"]), ran
    assert sandbox.run_code("{'a': [1]}").results[0].json == {"a": [1]}
    error = sandbox.run_code("1 / 0").error
    assert (error.name, error.value) == ("ZeroDivisionError", "division by zero"), error
    assert sandbox.run_code("import os\nos.environ['K']", envs={"K": "v"}).text == "v"
    seen = []
    sandbox.run_code("print(1)\ndisplay(2)\n1 / 0", on_stdout=seen.append, on_result=seen.append, on_error=seen.append)
    assert [type(one).__name__ for one in seen] == ["OutputMessage", "Result", "ExecutionError"], seen
    raises(TimeoutException, sandbox.run_code, "y = 5\nimport time\ntime.sleep(60)", timeout=1)
    assert sandbox.run_code("x, y").text == "(41, 5)"
    context = sandbox.create_code_context(cwd="/tmp")
    ran = sandbox.run_code("import os\nos.getcwd(), 'x' in globals()", context=context)
    assert ran.text == "('/tmp', False)", ran


def files(sandbox):
    sandbox.files.write("/home/user/note.txt", "hello")
    assert sandbox.files.read("/home/user/note.txt") == "hello"
    assert sandbox.run_code("open('/home/user/note.txt').read()").text == "hello"
    sandbox.files.write("relative.bin", b"\x00\xff")
    assert bytes(sandbox.files.read("relative.bin", format="bytes")) == b"\x00\xff"
    # Newer clients have another method for several files.
    several = getattr(sandbox.files, "write_files", sandbox.files.write)
    several([{"path": "/tmp/one", "data": "1"}, {"path": "/tmp/two", "data": "2"}])
    assert {"note.txt", "relative.bin"} <= {one.name for one in sandbox.files.list("/home/user")}
    assert sandbox.files.exists("/tmp/one") and not sandbox.files.exists("/tmp/three")
    sandbox.files.make_dir("/tmp/folder")
    sandbox.files.rename("/tmp/one", "/tmp/folder/one")
    sandbox.files.remove("/tmp/folder/one")
    raises(NotFoundException, sandbox.files.read, "/tmp/folder/one")


def commands(sandbox):
    assert sandbox.commands.run("echo out; cat /tmp/two").stdout == "out\n2"
    assert sandbox.commands.run("echo $K; basename $PWD", envs={"K": "v"}, cwd="/tmp").stdout == "v\ntmp\n"
    assert raises(CommandExitException, sandbox.commands.run, "exit 3").exit_code == 3
    handle = sandbox.commands.run("sleep 100", background=True)
    assert handle.pid in [one.pid for one in sandbox.commands.list()]
    assert handle.kill()
    handle = sandbox.commands.run("read line; echo got $line", background=True, **stdin(sandbox))
    sandbox.commands.send_stdin(handle.pid, "it\n")
    assert handle.wait().stdout == "got it\n"


def stdin(sandbox):
    """Returns the option that opens stdin; older clients always open it and have no option."""
    import inspect

    return {"stdin": True} if "stdin" in inspect.signature(sandbox.commands._start).parameters else {}


def life(sandbox):
    assert sandbox.is_running()
    # Neither call is sent in this mode: a sandbox ends only at its timeout. The older client returns None.
    sandbox.set_timeout(60)
    assert sandbox.kill() in (True, None)
    assert sandbox.is_running()


def main():
    faulthandler.dump_traceback_later(120, exit=True)
    sandbox = create_sandbox(timeout=120, metadata={"of": "debug"}, envs={"CREATED": "yes"})
    print("sandbox", sandbox.sandbox_id)
    for chapter in (cells, files, commands, life):
        chapter(sandbox)
        print(chapter.__name__, flush=True)


main()
sys.stdout.flush()
os._exit(0)
