"""Promises about sandboxes, their ports, contexts and languages, with the class `Sandbox`."""

import json
import uuid

from e2b.exceptions import NotFoundException, SandboxException, TimeoutException
from e2b_code_interpreter import Sandbox, SandboxQuery, SandboxState
from outside import PROGRAM, WebSocket, ask, by_headers, by_host, seen_by_server, wait_for_server
from promises import keep_all, promise, raises, wait_until


def serve(sandbox, port):
    """Starts the program server.py in a sandbox and waits until it answers from outside."""
    sandbox.files.write("/srv/server.py", PROGRAM)
    running = sandbox.commands.run(f"exec python3 /srv/server.py {port}", background=True, timeout=0)
    wait_for_server(by_headers(sandbox, port), sandbox.traffic_access_token)
    return running


@promise
def a_server_in_a_sandbox_is_reached_from_outside_with_its_token(sandbox):
    token = sandbox.traffic_access_token
    serve(sandbox, 8000)
    assert sandbox.get_host(8000).startswith(f"8000-{sandbox.sandbox_id}."), sandbox.get_host(8000)
    for address in by_host, by_headers:
        status, headers, text = ask(address(sandbox, 8000), token, "POST", "/a%20b?q=1", "żółć".encode())
        seen = seen_by_server(text)
        assert (status, headers["x-of-server"]) == (201, "yes"), (address, status, text)
        assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/a%20b?q=1", "żółć"), seen
        assert token not in text and "X-API-Key" not in seen["headers"], seen
        assert ask(address(sandbox, 8000))[0] == 401, "without its token"
        assert ask(address(sandbox, 8000), "wrong")[0] == 401
        assert seen["headers"]["Host"] == address(sandbox, 8000)["host"], seen
        status, _, text = ask(address(sandbox, 8001), token)
        closed = {"sandboxId": sandbox.sandbox_id, "message": "The sandbox is running but port is not open"}
        assert (status, json.loads(text)) == (502, {**closed, "port": 8001, "code": 502}), text


@promise(network={"mask_request_host": "masked.example:${PORT}"})
def a_server_sees_the_host_that_its_sandbox_asks_for(sandbox):
    serve(sandbox, 8000)
    for address in by_host, by_headers:
        _, _, text = ask(address(sandbox, 8000), sandbox.traffic_access_token)
        assert seen_by_server(text)["headers"]["Host"] == "masked.example:8000", text


@promise
def cells_stay_in_their_folder_and_their_clock_goes_on_when_their_sandbox_moves(sandbox):
    sandbox.run_code("import os, time\nos.makedirs('proj')\nos.chdir('proj')\nbegan = time.monotonic(), time.perf_counter()")
    elapsed = "[0 <= now - then < 60 for now, then in zip((time.monotonic(), time.perf_counter()), began)]"
    assert sandbox.run_code(elapsed).text == "[True, True]"
    assert sandbox.commands.run("pwd").stdout == "/home/user\n"
    assert sandbox.run_code("os.getcwd()").text == "/home/user/proj"
    assert "".join(sandbox.run_code("!pwd").logs.stdout).strip() == "/home/user/proj"
    assert sandbox.run_code(elapsed).text == "[True, True]"


@promise
def a_command_whose_sandbox_is_killed_says_so(sandbox):
    running = sandbox.commands.run("sleep 600", background=True)
    assert sandbox.kill()
    error = raises(TimeoutException, running.wait)
    assert "sandbox was killed or reached its end of life" in str(error), error


@promise
def a_websocket_in_a_sandbox_is_reached_from_outside(sandbox):
    running = serve(sandbox, 8000)
    for address in by_host, by_headers:
        client = WebSocket(address(sandbox, 8000), sandbox.traffic_access_token)
        assert (client.status, client.headers["sec-websocket-accept"]) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        for text in b"one", "żółć".encode(), b"":
            client.send(text)
            assert client.receive() == (1, text)
        client.send(b"", kind=8)
        assert client.receive() == (8, b"") and client.receive() is None
    client = WebSocket(by_host(sandbox, 8000), sandbox.traffic_access_token)
    running.kill()
    assert client.receive() is None, "a connection ends with the server"
    assert WebSocket(by_host(sandbox, 8000), "wrong").status == 401


@promise(network={"allow_public_traffic": True})
def a_public_port_is_open_to_everybody(sandbox):
    serve(sandbox, 3000)
    assert ask(by_host(sandbox, 3000))[0] == 200
    # A cell and a command reach it without a detour.
    cell = "import urllib.request\nurllib.request.urlopen('http://localhost:3000/from-cell').status"
    assert sandbox.run_code(cell).text == "200"
    fetch = "python3 -c \"import urllib.request as r; print(r.urlopen('http://127.0.0.1:3000').status)\""
    assert sandbox.commands.run(fetch).stdout == "200\n"


@promise
def git_keeps_a_repository_and_exchanges_commits_with_another_one(sandbox):
    git, run = sandbox.git, sandbox.commands.run
    git.configure_user("Ada", "ada@example.org")
    git.init("/home/user/repo", initial_branch="main")
    sandbox.files.write("repo/a.txt", "1\n")
    assert [(f.name, f.status) for f in git.status("/home/user/repo").file_status] == [("a.txt", "untracked")]
    git.add("/home/user/repo")
    assert git.status("/home/user/repo").has_staged
    git.commit("/home/user/repo", "first")
    assert git.status("/home/user/repo").is_clean
    git.create_branch("/home/user/repo", "feature")
    sandbox.files.write("repo/a.txt", "2\n")
    git.add("/home/user/repo", files=["a.txt"])
    git.commit("/home/user/repo", "second", author_name="Bob", author_email="bob@example.org")
    assert run("git log --format='%s by %an'", cwd="repo").stdout == "second by Bob\nfirst by Ada\n"
    git.checkout_branch("/home/user/repo", "main")
    assert sandbox.files.read("repo/a.txt") == "1\n"
    branches = git.branches("/home/user/repo")
    assert (branches.current_branch, sorted(branches.branches)) == ("main", ["feature", "main"]), branches
    run("git init --bare -q -b main /home/user/shared.git")
    git.remote_add("/home/user/repo", "origin", "/home/user/shared.git")
    assert git.remote_get("/home/user/repo", "origin") == "/home/user/shared.git"
    git.push("/home/user/repo", remote="origin", branch="main")
    git.clone("/home/user/shared.git", path="/home/user/clone")
    sandbox.files.write("clone/b.txt", "of the clone")
    git.add("/home/user/clone")
    git.commit("/home/user/clone", "third")
    git.push("/home/user/clone")
    git.pull("/home/user/repo", remote="origin", branch="main")
    assert sandbox.files.read("repo/b.txt") == "of the clone"
    git.reset("/home/user/repo", mode="hard", target="HEAD~1")
    assert not sandbox.files.exists("repo/b.txt")
    git.delete_branch("/home/user/repo", "feature", force=True)
    assert git.branches("/home/user/repo").branches == ["main"]
    assert git.get_config("user.name") == "Ada"


LANGUAGES = {
    "python": ("kept = 20", "kept + 1", "1 / 0", "ZeroDivisionError"),
    "javascript": ("let kept = 20", "kept + 1", "null.nothing", "TypeError"),
    "typescript": ("const kept: number = 20", "(kept as number) + 1", "throw new RangeError('far')", "RangeError"),
}


@promise
def each_language_keeps_its_variables_and_reports_results_output_and_errors(sandbox):
    for language, (assign, use, fail, name) in LANGUAGES.items():
        assert not sandbox.run_code(assign, language=language).error, language
        ran = sandbox.run_code(use, language=language)
        assert ran.text == "21" and ran.results[0].is_main_result, (language, ran)
        assert sandbox.run_code(fail, language=language).error.name == name, language
        assert sandbox.run_code(use, language=language).text == "21", f"{language} goes on after an error"
    for language in "javascript", "typescript":
        ran = sandbox.run_code("console.log('out'); console.error('err'); await 6 * 7", language=language)
        assert ("".join(ran.logs.stdout), "".join(ran.logs.stderr)) == ("out\n", "err\n"), (language, ran)
        seen = sandbox.run_code("process.env.K", language=language, envs={"K": "v"})
        assert seen.text.strip("'\"") == "v", (language, seen)
    sandbox.run_code("n=3; cd /tmp; twice() { echo $(($1 * 2)); }", language="bash")
    ran = sandbox.run_code("twice $n; pwd; echo $K; echo err >&2; printf end", language="bash", envs={"K": "v"})
    # E2B's kernel for bash has one stream, and ends it with a line's end.
    assert ("".join(ran.logs.stdout), ran.logs.stderr) == ("6\n/tmp\nv\nerr\nend\n", []), ran
    assert sandbox.run_code("kept").text == "20", "Python's variables are its own"


@promise
def output_of_cells_is_called_back_while_they_run_and_files_are_shared_by_languages(sandbox):
    ready = []

    def on_stdout(message):
        ready.append(message.line)
        if "ready" in message.line:
            sandbox.files.write("/tmp/go", "")

    waits = {
        "python": "import os, time\nprint('ready', flush=True)\nwhile not os.path.exists('/tmp/go'): time.sleep(.02)",
        "javascript": "console.log('ready'); const fs = require('fs');\n"
        "while (!fs.existsSync('/tmp/go')) await new Promise(go => setTimeout(go, 20))",
        "bash": "echo ready; until [ -e /tmp/go ]; do sleep 0.02; done",
    }
    sandbox.commands.run("true")
    for language, code in waits.items():
        ran = sandbox.run_code(code, language=language, on_stdout=on_stdout, timeout=30)
        assert not ran.error, (language, ran)
        assert sandbox.run_code("import os; os.remove('/tmp/go')").error is None
    assert "".join(ready).split() == ["ready"] * 3, ready
    sandbox.run_code("require('fs').writeFileSync('/tmp/shared', 'by node')", language="javascript")
    assert "".join(sandbox.run_code("cat /tmp/shared", language="bash").logs.stdout) == "by node\n"


@promise
def contexts_are_separate_listed_restarted_and_removed(sandbox):
    for language in "python", "javascript", "bash":
        one = sandbox.create_code_context(language=language, cwd="/tmp")
        other = sandbox.create_code_context(language=language)
        assert (one.language, one.cwd, other.cwd) == (language, "/tmp", "/home/user"), (one, other)
        kept = {"python": ("x = 1", "print('x' in globals())"), "bash": ("x=1", "echo ${x:+True}"),
                "javascript": ("x = 1", "console.log(typeof x == 'number' ? 'True' : '')")}[language]  # fmt: skip

        def has_x(context, show=kept[1]):
            return "".join(sandbox.run_code(show, context=context).logs.stdout) == "True\n"

        sandbox.run_code(kept[0], context=one)
        assert has_x(one) and not has_x(other), language
        assert {one.id, other.id} <= {context.id for context in sandbox.list_code_contexts()}
        sandbox.restart_code_context(one)
        assert not has_x(one), f"{language} was restarted"
        sandbox.remove_code_context(other)
        raises(NotFoundException, sandbox.run_code, kept[1], context=other)
        assert other.id not in {context.id for context in sandbox.list_code_contexts()}
    raises(NotFoundException, sandbox.restart_code_context, "no-such-context")


@promise
def languages_that_only_the_cloud_has_are_refused_with_the_reason(sandbox):
    for language in "r", "java":
        error = sandbox.run_code("1", language=language).error
        assert f"a cell in {language} " in error.value and "set E2B_API_KEY" in error.value, error
        refused = raises(SandboxException, sandbox.create_code_context, language=language)
        assert "set E2B_API_KEY" in str(refused), refused
    assert "known are python, javascript" in sandbox.run_code("1", language="cobol").error.value
    assert sandbox.run_code("1 + 1").text == "2"


@promise
def a_cell_past_its_time_limit_is_interrupted_and_keeps_its_variables(sandbox):
    sandbox.commands.run("true")
    sandbox.run_code("import os, time; kept = os.getpid()")
    raises(TimeoutException, sandbox.run_code, "time.sleep(600)", timeout=1)
    assert sandbox.run_code("kept == os.getpid()").text == "True"
    sandbox.run_code("let kept = process.pid; require('os')", language="javascript")
    raises(TimeoutException, sandbox.run_code, "await new Promise(() => setTimeout(() => {}, 600_000))",
           language="javascript", timeout=1)  # fmt: skip
    assert sandbox.run_code("1 + 1", language="javascript").text == "2", "JavaScript goes on"


@promise
def the_figures_of_a_sandbox_are_those_of_its_machine(sandbox):
    sandbox.commands.run("head -c 50M /dev/zero > /tmp/zeros")
    hold = "python3 -c 'import time; held = b\"x\" * (100 << 20); print(1, flush=True); time.sleep(600)'"
    next(iter(sandbox.commands.run(hold, background=True)))
    now = sandbox.get_metrics()[-1]
    assert now.cpu_count >= 1 and 0 <= now.cpu_used_pct, now
    assert 100 << 20 <= now.mem_used <= now.mem_total, now
    assert 50 << 20 <= now.disk_used <= now.disk_total, now


@promise
def a_paused_sandbox_keeps_variables_files_and_processes(sandbox):
    sandbox.commands.run("true")
    sandbox.run_code("import os; kept = [os.getpid()]")
    sandbox.run_code("let kept = 'of node'", language="javascript")
    sandbox.files.write("/srv/kept", "file")
    counting = "n=0; while :; do n=$((n + 1)); echo $n > /tmp/count; sleep 0.05; done"
    counter = sandbox.commands.run(counting, background=True, timeout=0)
    wait_until(lambda: sandbox.files.exists("/tmp/count") and sandbox.files.read("/tmp/count") not in ("", "0\n"))
    counter.disconnect()
    assert sandbox.pause()
    assert not sandbox.is_running() and sandbox.get_info().state == SandboxState.PAUSED
    raises(TimeoutException, sandbox.commands.run, "true")
    again = Sandbox.connect(sandbox.sandbox_id)
    assert again.is_running() and again.get_info().state == SandboxState.RUNNING
    assert again.run_code("kept == [os.getpid()]").text == "True"
    assert again.run_code("kept", language="javascript").text.strip("'\"") == "of node"
    assert again.files.read("/srv/kept") == "file"
    assert counter.pid in [process.pid for process in again.commands.list()]
    before = int(again.files.read("/tmp/count") or 0)
    wait_until(lambda: int(again.files.read("/tmp/count") or 0) > before)


@promise
def a_sandbox_ends_at_its_time_limit_which_can_be_moved(sandbox):
    end = sandbox.get_info().end_at
    sandbox.set_timeout(1000)
    assert (sandbox.get_info().end_at - end).total_seconds() > 600
    sandbox.commands.run("sleep 600", background=True, timeout=0)
    sandbox.set_timeout(1)
    wait_until(lambda: not sandbox.is_running())
    raises((TimeoutException, NotFoundException), sandbox.commands.run, "true")
    raises(NotFoundException, Sandbox.connect, sandbox.sandbox_id)


@promise(lifecycle={"on_timeout": "pause"})
def a_sandbox_pauses_at_its_time_limit_if_asked_to(sandbox):
    sandbox.commands.run("echo kept > /tmp/kept")
    sandbox.set_timeout(1)
    wait_until(lambda: sandbox.get_info().state == SandboxState.PAUSED)
    assert Sandbox.connect(sandbox.sandbox_id, timeout=60).commands.run("cat /tmp/kept").stdout == "kept\n"


@promise
def sandboxes_are_listed_with_what_is_known_of_them(_):
    run = str(uuid.uuid4())
    three = [Sandbox.create(metadata={"run": run, "n": str(n)}, timeout=300) for n in range(3)]
    three[0].commands.run("true")
    info = three[0].get_info()
    assert (info.sandbox_id, info.metadata["n"], info.state) == (three[0].sandbox_id, "0", SandboxState.RUNNING)
    assert (info.end_at - info.started_at).total_seconds() == 300 and info.cpu_count and info.memory_mb, info
    three[1].pause()

    def found(limit=None, **query):
        pages, ids = Sandbox.list(query=SandboxQuery(metadata={"run": run}, **query), limit=limit), []
        while pages.has_next:
            ids += [listed.sandbox_id for listed in pages.next_items()]
        return ids

    ids = [sandbox.sandbox_id for sandbox in three]
    assert sorted(found()) == sorted(ids) == sorted(found(limit=1))
    assert found(state=[SandboxState.PAUSED]) == [ids[1]]
    for sandbox in three:
        assert sandbox.kill() and not sandbox.kill()
        assert not sandbox.is_running()
    assert found() == []
    raises(NotFoundException, three[0].get_info)
    raises((TimeoutException, NotFoundException), three[0].commands.run, "true")


@promise(envs={"OF": "the sandbox", "BOTH": "the sandbox"})
def variables_of_a_sandbox_are_those_of_cells_in_each_language_and_of_commands(sandbox):
    assert sandbox.commands.run("echo $OF").stdout == "the sandbox\n"
    both = {"BOTH": "the call"}
    assert sandbox.run_code("import os; os.environ['OF'], os.environ['BOTH']", envs=both).text == (
        "('the sandbox', 'the call')"
    )
    assert sandbox.run_code("os.environ['BOTH']").text == "the sandbox"
    seen = sandbox.run_code("console.log(process.env.OF, process.env.BOTH)", language="javascript", envs=both)
    assert "".join(seen.logs.stdout) == "the sandbox the call\n", seen
    seen = sandbox.run_code("echo $OF $BOTH $E2B_API_KEY.", language="bash", envs=both)
    assert "".join(seen.logs.stdout) == "the sandbox the call .\n", seen
    assert sandbox.commands.run("echo $E2B_SANDBOX_ID").stdout == f"{sandbox.sandbox_id}\n"


@promise
def two_sandboxes_see_nothing_of_each_other(one):
    with Sandbox.create(timeout=300) as other:
        one.files.write("/tmp/of-one", "secret")
        serve(one, 8000)
        one.commands.run("exec -a of-one sleep 600", background=True, timeout=0)
        assert not other.files.exists("/tmp/of-one")
        assert "of-one" not in other.commands.run("ps -eo args").stdout and other.commands.list() == []
        listening = "import socket\nsocket.create_connection(('127.0.0.1', 8000))"
        assert other.run_code(listening).error.name == "ConnectionRefusedError"
        assert ask(by_host(one, 8000), other.traffic_access_token)[0] == 401
        other.kill()
        assert one.commands.run("cat /tmp/of-one").stdout == "secret"


keep_all()
