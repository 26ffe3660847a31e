"""Records what E2B's own interpreter server answers to the cells of the drop-in tests.

    python3.13 tests/drop_in/record.py CODE_INTERPRETER [CHAPTER …]

CODE_INTERPRETER is a checkout of https://github.com/e2b-dev/code-interpreter. The server of its template (FastAPI before Jupyter) runs
without a container: in a sandbox of the stand-in for E2B, which answers for the control plane and envd, so that cells, commands and
files see the same folders. The scripts of `sdk` run with a relay as their only server. It sends what is for port 49999 to E2B's server
in that sandbox, and all else to the stand-in.

Only answers of E2B's server are written, to `recording/<script>.json`: the steps of chapters about cells and contexts, and the cells of
all other chapters. They are data. Nothing of E2B's is copied into this repository: packages and the template are in `target/recording`.
With names of chapters, only their steps are replaced.

Required: Linux with user namespaces, Python 3.13 (the template's), pip and npm, `cargo build` beforehand. Not recorded, since their kernels
are not installed here: JavaScript, TypeScript, R and Java.
"""

import contextlib
import datetime
import fcntl
import http.client
import importlib.metadata
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "recording"
KEY = "e2b_0123456789abcdef0123456789abcdef01234567"
INTERPRETER_PORT, ENVD_PORT, JUPYTER_PORT = 49999, 49983, 8888
# What cells of the scripts can reach. The rest of the template's packages takes gigabytes.
PACKAGES = "jupyter-server ipykernel ipython orjson pandas matplotlib pillow e2b_charts numpy tornado urllib3 requests sympy".split()
SDK = {
    "python": ["e2b==2.63.0", "e2b-code-interpreter==2.11.5"],
    "javascript": ["e2b@2.51.0", "@e2b/code-interpreter@2.8.0"],
}
# Of these chapters every step is an answer of the interpreter; of the others, only those that are executions.
WHOLE = {
    "python": "state values streams displays errors awaiting environment odd computing late shared contexts shell thread_first"
    " death languages".split(),
    "javascript": ["cells", "contexts"],
}
PARTLY = {
    "python": "separate files commands beyond life asynchronous absent".split(),
    "javascript": ["files", "life", "commands"],
}
# Steps whose kernel is not installed here, those that the stand-in answers, and one with two answers: when a default context is restarted,
# E2B's server breaks the next cell off or runs it, whichever of its tasks ended first.
NOT_RECORDED = {"languages: javascript", "languages: context", "contexts: default one is new"}


# ── Packages ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def pins(requirements):
    """Returns the lines of the template's requirements that are needed here."""
    lines = [line.strip() for line in requirements.read_text().splitlines()]
    return [line for line in lines if re.split("[=<>]", line)[0] in PACKAGES]


def make_venv(name, *packages):
    """Returns the Python of a virtual environment with these packages, made once."""
    folder = WORK / name
    python, complete = folder / "bin" / "python", folder / "complete"
    wanted = "\n".join(packages)
    if not complete.exists() or complete.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True
        )
        complete.write_text(wanted)
    return python


def prepare(checkout):
    """Installs the packages and lays the template's files out as its build does."""
    if sys.version_info[:2] != (3, 13):
        sys.exit(f"this is Python {sys.version.split()[0]}; the template has 3.13, whose messages differ")
    template = checkout / "template"
    WORK.mkdir(parents=True, exist_ok=True)
    kernel = make_venv("kernel", *pins(template / "requirements.txt"), "bash_kernel")
    server = template / "server"
    make_venv("server", *(server / "requirements.txt").read_text().split())
    make_venv("client", *SDK["python"])
    node = WORK / "node"
    if not node.exists():
        node.mkdir()
        (node / "package.json").write_text('{"private": true, "type": "module"}')
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *SDK["javascript"]], cwd=node, check=True
        )
    laid = WORK / "template"
    shutil.rmtree(laid, ignore_errors=True)
    shutil.copytree(server, laid / "server")
    profile = laid / "ipython" / "profile_default"
    shutil.copytree(template / "startup_scripts", profile / "startup")
    shutil.copy(template / "ipython_kernel_config.py", profile)
    (laid / "jupyter").mkdir()
    shutil.copy(template / "jupyter_server_config.py", laid / "jupyter")
    shutil.copy(template / "matplotlibrc", laid / ".matplotlibrc")
    # The server starts only with a kernel for JavaScript. Python's takes its place; nothing is recorded from it.
    kernels = laid / "data" / "kernels"
    for name, module in (
        ("python3", "ipykernel_launcher"),
        ("javascript", "ipykernel_launcher"),
        ("bash", "bash_kernel"),
    ):
        argv = [str(kernel), "-m", module, "-f", "{connection_file}"]
        (kernels / name).mkdir(parents=True)
        (kernels / name / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, "language": name}))


# ── Within a sandbox ──────────────────────────────────────────────────────────────────────────────────────────────────


def copy_both_ways(one, other):
    """Passes bytes on until either side ends."""
    with one, other:
        with contextlib.suppress(OSError):
            while True:
                for source in select.select([one, other], [], [])[0]:
                    piece = source.recv(1 << 16)
                    if not piece:
                        return
                    (other if source is one else one).sendall(piece)


def serve_connections(listener, handle):
    """Handles each connection in a thread of its own."""

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def connect_to(path):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(path))
    return connection


def run_interpreter(name):
    """Runs E2B's server in the sandbox: in a network of its own, because its ports are fixed."""
    with socket.socket() as any_socket:
        # SIOCSIFFLAGS: IFF_UP | IFF_RUNNING.
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh", b"lo", 0x41))
    envd = socket.create_server(("localhost", ENVD_PORT))
    serve_connections(envd, lambda connection: copy_both_ways(connection, connect_to(WORK / "run" / f"{name}.envd")))
    laid = WORK / "template"
    # The template's service has no HOME, so `~` is the root user's. Nothing of the server's own goes there.
    env = {key: value for key, value in os.environ.items() if key not in ("HOME", "PYTHONPATH", "PIP_TARGET")}
    env |= {
        "PATH": f"{WORK / 'kernel' / 'bin'}:{env['PATH']}", "IPYTHONDIR": str(laid / "ipython"),
        "JUPYTER_CONFIG_DIR": str(laid / "jupyter"), "JUPYTER_DATA_DIR": str(laid / "data"), "JUPYTER_RUNTIME_DIR": "/tmp/.jupyter",
        "MATPLOTLIBRC": str(laid / ".matplotlibrc"), "MPLCONFIGDIR": "/tmp/.matplotlib", "IPYTHON_HISTORY": "off",
    }  # fmt: skip
    jupyter = [
        WORK / "kernel" / "bin" / "jupyter",
        "server",
        "--IdentityProvider.token=",
        f"--port={JUPYTER_PORT}",
        "--no-browser",
    ]
    log = (WORK / "run" / f"{name}.log").open("w")
    subprocess.Popen(jupyter, env=env, stdout=log, stderr=log, cwd="/home/user")
    for _ in range(600):
        with contextlib.suppress(OSError, http.client.HTTPException):
            status = http.client.HTTPConnection("localhost", JUPYTER_PORT, timeout=5)
            status.request("GET", "/api/status")
            if status.getresponse().status == 200:
                break
        time.sleep(0.1)
    uvicorn = [WORK / "server" / "bin" / "uvicorn", "main:app", "--app-dir", laid / "server", "--uds", WORK / "run" / f"{name}.sock",
               "--workers", "1", "--no-access-log", "--no-use-colors", "--timeout-keep-alive", "640"]  # fmt: skip
    subprocess.run(uvicorn, env=env, stdout=log, stderr=log, cwd="/home/user")


# ── The relay ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Relay:
    """Sends requests for interpreters to E2B's server in the sandbox, and all others to the stand-in."""

    def __init__(self, stand_in):
        self.stand_in, self.started, self.lock = stand_in, {}, threading.Lock()
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        serve_connections(listener, self.handle)

    def ask(self, method, path, headers, body=None):
        connection = http.client.HTTPConnection(*self.stand_in, timeout=60)
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer

    def start(self, sandbox):
        """Starts E2B's server in a sandbox."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(WORK / "run" / f"{sandbox}.envd"))
        listener.listen(64)
        address = {"E2b-Sandbox-Id": sandbox, "E2b-Sandbox-Port": str(ENVD_PORT)}

        def envd(connection):
            head, rest = read_head(connection)
            upstream = socket.create_connection(self.stand_in)
            upstream.sendall(with_headers(head, {**address, "Connection": "close"}) + rest)
            copy_both_ways(connection, upstream)

        serve_connections(listener, envd)
        _, answer = self.ask("POST", f"/sandboxes/{sandbox}/connect", {"X-API-Key": KEY, "Content-Type": "application/json"},
                             json.dumps({"timeout": 1}))  # fmt: skip
        token = json.load(answer)["envdAccessToken"]
        command = [
            "--net",
            str(WORK / "kernel" / "bin" / "python"),
            str(pathlib.Path(__file__).resolve()),
            "--within",
            sandbox,
        ]
        message = json.dumps({"process": {"cmd": "unshare", "args": command}, "stdin": False}).encode()
        headers = {
            **address,
            "X-Access-Token": token,
            "Content-Type": "application/connect+json",
            "Connect-Protocol-Version": "1",
        }
        self.ask("POST", "/process.Process/Start", headers, struct.pack(">BI", 0, len(message)) + message)
        path = WORK / "run" / f"{sandbox}.sock"
        for _ in range(600):
            with contextlib.suppress(OSError), connect_to(path):
                return path
            time.sleep(0.1)
        sys.exit(f"E2B's server does not start: see {WORK / 'run' / sandbox}.log")

    def interpreter(self, sandbox):
        with self.lock:
            started = self.started.setdefault(sandbox, threading.Lock())
        with started:
            path = WORK / "run" / f"{sandbox}.sock"
            return path if path.exists() else self.start(sandbox)

    def handle(self, connection):
        with connection, contextlib.suppress(ConnectionError):
            head, rest = read_head(connection)
            fields = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head.split("\r\n")[1:]}
            sandbox = fields.get("e2b-sandbox-id")
            if sandbox and fields.get("e2b-sandbox-port") == str(INTERPRETER_PORT):
                # One that is paused or over is refused before its port is reached.
                status, _ = self.ask(
                    "GET", "/health", {"E2b-Sandbox-Id": sandbox, "E2b-Sandbox-Port": str(INTERPRETER_PORT)}
                )
                is_interpreter = status == 200
            else:
                is_interpreter = False
            upstream = (
                connect_to(self.interpreter(sandbox)) if is_interpreter else socket.create_connection(self.stand_in)
            )
            upstream.sendall(with_headers(head, {"Connection": "close"}) + rest)
            copy_both_ways(connection, upstream)


def read_head(connection):
    """Returns the head of a request, and what was read beyond it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(1 << 16)
        if not piece:
            raise ConnectionError("the client left")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def with_headers(head, headers):
    kept = [
        line for line in head.split("\r\n") if line.partition(":")[0].lower() not in {name.lower() for name in headers}
    ]
    return "\r\n".join([*kept, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode("latin-1")


# ── The recording ─────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def stand_in():
    """Runs a stand-in for E2B; returns its address."""
    command = [ROOT / "target" / "debug" / "switchtower", "fake-e2b", "--listen", "127.0.0.1:0", "--plan", "unlimited", "--key", KEY,
               "--python", WORK / "kernel" / "bin" / "python"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        line = next(line for line in process.stderr if "E2B_API_URL" in line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield "127.0.0.1", int(line.rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.wait()


def run_chapter(script, chapter, origin):
    """Returns the results of a chapter by step."""
    if script == "python":
        command = [WORK / "client" / "bin" / "python", HERE / "sdk" / "python.py", chapter]
    else:
        beside = shutil.copy(HERE / "sdk" / "javascript.mjs", WORK / "node")
        command = ["node", beside, chapter]
    env = {key: value for key, value in os.environ.items() if not key.startswith("E2B_")}
    env |= {"E2B_API_KEY": KEY, "E2B_API_URL": origin, "E2B_SANDBOX_URL": origin, "DROP_IN_PAUSE_S": "4"}
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    # Where the template has its packages.
    text = done.stdout.replace(str(WORK / "kernel"), "/usr/local")
    lines = [json.loads(line) for line in text.splitlines()]
    if done.returncode:
        sys.exit(f"chapter {chapter} of {script} broke off after {[line['step'] for line in lines][-2:]}")
    return {line["step"]: line["result"] for line in lines}


def is_execution(result):
    return isinstance(result, dict) and "count" in result


def record(checkout, chapters):
    shutil.rmtree(WORK / "run", ignore_errors=True)
    (WORK / "run").mkdir()
    commit = subprocess.check_output(["git", "-C", checkout, "rev-parse", "HEAD"], text=True).strip()
    site = [str(next((WORK / "kernel" / "lib").glob("python*/site-packages")))]
    installed = {one.name.lower(): one.version for one in importlib.metadata.distributions(path=site)}
    versions = {name: installed[name] for name in ("ipython", "ipykernel", "jupyter_server", "orjson", "bash_kernel")}
    with stand_in() as address:
        relay = Relay(address)
        for script in SDK:
            path = HERE / "recording" / f"{script}.json"
            head = {
                "recorded": datetime.date.today().isoformat(),
                "code-interpreter": commit,
                "python": sys.version.split()[0],
                **versions,
            }
            names = [name for name in WHOLE[script] + PARTLY[script] if not chapters or name in chapters]
            steps = json.loads(path.read_text())["steps"] if chapters and path.exists() else {}
            for name in names:
                started = time.monotonic()
                results = run_chapter(script, name, relay.origin)
                steps = {step: result for step, result in steps.items() if not step.startswith(f"{name}: ")}
                steps |= {step: result for step, result in results.items()
                          if (name in WHOLE[script] or is_execution(result)) and step not in NOT_RECORDED}  # fmt: skip
                print(f"{script}: {name}: {time.monotonic() - started:.1f} s", file=sys.stderr)
                write(path, head, steps)


def write(path, head, steps):
    """Writes one line for each step, so that changes are readable."""
    chapters = [chapter for script in SDK for chapter in WHOLE[script] + PARTLY[script]]
    steps = dict(sorted(steps.items(), key=lambda item: chapters.index(item[0].partition(":")[0])))
    lines = [
        f"  {json.dumps(step, ensure_ascii=False)}: {json.dumps(steps[step], ensure_ascii=False, sort_keys=True)}"
        for step in steps
    ]
    about = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    path.parent.mkdir(exist_ok=True)
    path.write_text("{" + ",\n".join([*about, '"steps": {\n' + ",\n".join(lines) + "\n}"]) + "}\n")


if __name__ == "__main__":
    if sys.argv[1] == "--within":
        run_interpreter(sys.argv[2])
    else:
        # So that the stand-in ends as well.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        given = pathlib.Path(sys.argv[1]).resolve()
        prepare(given)
        record(given, sys.argv[2:])
