"""Promises about commands, terminals, files, watches, ports, contexts and pauses, with the class `AsyncSandbox`."""

import asyncio
import hashlib
import uuid

from e2b import PtySize
from e2b.exceptions import FileNotFoundException, NotFoundException, TimeoutException
from e2b.sandbox.commands.command_handle import CommandExitException
from e2b_code_interpreter import AsyncSandbox, SandboxQuery, SandboxState
from outside import PROGRAM, WebSocket, ask, by_headers, by_host
from promises import PATIENCE_S, keep_all, promise, raises_async


async def wait_for(condition):
    """Waits until an asynchronous condition is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.02)


@promise
async def commands_return_what_they_did_and_call_back_while_they_run(sandbox):
    seen = []

    async def on_stdout(text):
        seen.append(text)
        if "ready" in text:
            await sandbox.files.write("/tmp/go", "")

    command = "echo ready; until [ -e /tmp/go ]; do sleep 0.02; done; echo $K in $PWD; echo err >&2; exit 3"
    ended = await raises_async(
        CommandExitException, sandbox.commands.run(command, on_stdout=on_stdout, envs={"K": "ż"}, cwd="/srv")
    )
    assert (ended.exit_code, ended.stdout, ended.stderr) == (3, "ready\nż in /srv\n", "err\n"), ended
    assert "".join(seen) == ended.stdout
    assert (await sandbox.commands.run("id -un; id -u", user="root")).stdout == "root\n0\n"
    await raises_async(TimeoutException, sandbox.commands.run("sleep 600", timeout=1))
    assert len((await sandbox.commands.run("head -c 3000000 /dev/zero | tr '\\0' x")).stdout) == 3_000_000


@promise
async def a_command_in_the_background_is_fed_connected_to_and_killed(sandbox):
    first = await sandbox.commands.run("tr a-z A-Z; exit 5", background=True, stdin=True)
    second = await sandbox.commands.connect(first.pid)
    await first.send_stdin("one ")
    await sandbox.commands.send_stdin(first.pid, b"two")
    await sandbox.commands.close_stdin(first.pid)
    for handle in first, second:
        ended = await raises_async(CommandExitException, handle.wait())
        assert (ended.exit_code, ended.stdout) == (5, "ONE TWO"), ended
    endless = await sandbox.commands.run("sleep 600", background=True)
    assert endless.pid in [process.pid for process in await sandbox.commands.list()]
    await endless.disconnect()
    assert endless.pid in [process.pid for process in await sandbox.commands.list()], "it outlives its stream"
    assert await sandbox.commands.kill(endless.pid)

    async def forgotten():
        return endless.pid not in [process.pid for process in await sandbox.commands.list()]

    await wait_for(forgotten)
    assert not await sandbox.commands.kill(endless.pid)
    await raises_async(NotFoundException, sandbox.commands.connect(999_999))


@promise
async def a_terminal_is_resized_typed_into_and_killed(sandbox):
    printed, changed = bytearray(), asyncio.Event()

    def on_data(data):
        printed.extend(data)
        changed.set()

    async def read_until(text):
        async with asyncio.timeout(PATIENCE_S):
            while text not in printed:
                changed.clear()
                await changed.wait()

    terminal = await sandbox.pty.create(PtySize(rows=24, cols=80), on_data, cwd="/usr", envs={"OWN": "mine"}, timeout=0)
    await sandbox.pty.send_stdin(terminal.pid, b"echo $(stty size) $OWN $PWD END\n")
    await read_until(b"24 80 mine /usr END\r\n")
    await sandbox.pty.resize(terminal.pid, PtySize(rows=50, cols=132))
    await sandbox.pty.send_stdin(terminal.pid, b"stty size\n")
    await read_until(b"50 132\r\n")
    again = await sandbox.pty.connect(terminal.pid, on_data, timeout=0)
    printed.clear()
    await sandbox.pty.send_stdin(terminal.pid, b"echo $((6 * 7)) both\n")
    await read_until(b"42 both\r\n")
    assert await sandbox.pty.kill(terminal.pid)
    await raises_async(CommandExitException, terminal.wait())
    await raises_async(CommandExitException, again.wait())


@promise
async def files_are_written_read_listed_moved_and_removed(sandbox):
    files, big = sandbox.files, bytes(range(256)) * (20 << 12)
    written = await files.write_files([{"path": "/srv/a/b", "data": "ż"}, {"path": "big", "data": big}])
    assert [entry.path for entry in written] == ["/srv/a/b", "/home/user/big"]
    assert await files.read("/srv/a/b") == "ż" and await files.read("big", format="bytes") == big
    digest = hashlib.sha256()
    async for piece in await files.read("big", format="stream"):
        digest.update(piece)
    assert digest.hexdigest() == hashlib.sha256(big).hexdigest()
    assert (await sandbox.commands.run("sha256sum < big")).stdout.split()[0] == digest.hexdigest()
    assert sorted(entry.path for entry in await files.list("/srv", depth=2)) == ["/srv/a", "/srv/a/b"]
    await files.write("/srv/m", "x", metadata={"by": "ada"}, user="root")
    info = await files.get_info("/srv/m")
    assert (info.owner, info.size, info.metadata) == ("root", 1, {"by": "ada"}), info
    assert await files.make_dir("/srv/d") and not await files.make_dir("/srv/d")
    assert (await files.rename("/srv/a", "/srv/d/a")).path == "/srv/d/a"
    await files.remove("/srv/d")
    assert not await files.exists("/srv/d")
    await raises_async(FileNotFoundException, files.read("/srv/d/a/b"))


@promise
async def a_watch_calls_back_with_events_until_it_is_stopped(sandbox):
    seen = set()
    await sandbox.commands.run("mkdir -p w/a")
    watch = await sandbox.files.watch_dir("w", lambda event: seen.add((event.name, event.type.value)), recursive=True)
    await sandbox.commands.run("cd w/a && echo 1 > f && mv f g && rm g")
    expected = {("a/f", "create"), ("a/f", "write"), ("a/f", "rename"), ("a/g", "create"), ("a/g", "remove")}

    async def all_seen():
        return expected <= seen

    await wait_for(all_seen)
    await watch.stop()
    await raises_async(FileNotFoundException, sandbox.files.watch_dir("/srv/nowhere", print))


@promise
async def a_port_answers_http_and_websocket(sandbox):
    token = sandbox.traffic_access_token
    await sandbox.files.write("/srv/server.py", PROGRAM)
    await sandbox.commands.run("exec python3 /srv/server.py 8000", background=True, timeout=0)

    async def answers():
        return (await asyncio.to_thread(ask, by_headers(sandbox, 8000), token))[0] == 200

    await wait_for(answers)
    assert (await asyncio.to_thread(ask, by_host(sandbox, 8000), "wrong"))[0] == 401
    client = await asyncio.to_thread(WebSocket, by_host(sandbox, 8000), token)
    client.send(b"echo")
    assert await asyncio.to_thread(client.receive) == (1, b"echo")
    client.socket.close()


@promise(envs={"OF": "the sandbox"})
async def contexts_have_languages_variables_and_a_life_of_their_own(sandbox):
    given = [(one.language, one.cwd) for one in await sandbox.list_code_contexts()]
    assert given == [("python", "/home/user"), ("javascript", "/home/user")], given
    for language, assign, show in [
        ("python", "x = 'kept'", "import os\nprint(x, os.environ['OF'])"),
        ("javascript", "x = 'kept'", "console.log(x, process.env.OF)"),
        ("typescript", "var x: string = 'kept'", "console.log(x as string, process.env.OF)"),
        ("bash", "x=kept", "echo $x $OF"),
    ]:
        context = await sandbox.create_code_context(language=language, cwd="/tmp")
        await sandbox.run_code(assign, context=context)
        pieces = []
        ran = await sandbox.run_code(show, context=context, on_stdout=lambda message: pieces.append(message.line))
        assert "".join(pieces) == "".join(ran.logs.stdout) == "kept the sandbox\n", (language, ran)
        assert context.id in [one.id for one in await sandbox.list_code_contexts()]
        await sandbox.restart_code_context(context)
        failed = "".join((await sandbox.run_code(show, context=context)).logs.stdout)
        assert "kept" not in failed, (language, failed)
        await sandbox.remove_code_context(context)
        await raises_async(NotFoundException, sandbox.run_code("1", context=context))
    for language in "r", "java":
        assert "set E2B_API_KEY" in (await sandbox.run_code("1", language=language)).error.value


@promise
async def a_paused_sandbox_goes_on_and_an_ended_one_does_not(sandbox):
    run = str(uuid.uuid4())
    async with await AsyncSandbox.create(metadata={"run": run}, timeout=300) as other:
        await other.commands.run("echo kept > /tmp/f; sleep 600", background=True, timeout=0)
        await other.run_code("x = 1")
        assert await other.pause() and not await other.is_running()
        listed = await AsyncSandbox.list(query=SandboxQuery(metadata={"run": run})).next_items()
        assert [(one.sandbox_id, one.state) for one in listed] == [(other.sandbox_id, SandboxState.PAUSED)]
        again = await AsyncSandbox.connect(other.sandbox_id)
        assert (await again.run_code("x")).text == "1" and await again.files.read("/tmp/f") == "kept\n"
        assert len(await again.commands.list()) == 1
        await again.set_timeout(1)

        async def over():
            return not await again.is_running()

        await wait_for(over)
    assert (await sandbox.get_metrics())[-1].mem_total > 0
    assert (await sandbox.get_info()).sandbox_id == sandbox.sandbox_id
    assert await sandbox.kill() and not await sandbox.is_running()


@promise
async def many_sandboxes_work_at_once(sandbox):
    async def use(number):
        async with await AsyncSandbox.create(timeout=300) as other:
            await other.files.write("/tmp/n", str(number))
            shown = await asyncio.gather(*(other.commands.run(f"cat /tmp/n; echo .{n}") for n in range(4)))
            return [done.stdout for done in shown]

    used = await asyncio.gather(*(use(number) for number in range(8)))
    assert used == [[f"{number}.{n}\n" for n in range(4)] for number in range(8)], used
    assert not await sandbox.files.exists("/tmp/n")


async def keep(function, creation):
    async with await AsyncSandbox.create(timeout=300, **creation) as sandbox:
        await function(sandbox)


keep_all(lambda function, creation: asyncio.run(keep(function, creation)))
