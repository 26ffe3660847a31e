"""Starts kernels of machines as plain processes and speaks with them as a machine's init does, for tests."""

import collections
import json
import os
import pathlib
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PYTHON = pathlib.Path(__file__).resolve().parents[1]
# What a machine's folder is made of: later parts are laid over earlier ones.
PARTS = ("shared", "transfer", "native", "machine")
# An answer that takes longer is a failure, in seconds.
DEADLINE = 20

Ran = collections.namedtuple("Ran", "ending out err shown stream")


def compose(folder):
    """Lays out the kernel's files as a machine has them. Returns the path of the kernel."""
    for part in PARTS:
        shutil.copytree(
            PYTHON / part / "_switchtower",
            folder / "_switchtower",
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("__pycache__", "restore"),
        )
    shutil.copy(PYTHON / "machine" / "kernel.py", folder)
    return folder / "kernel.py"


class Died(Exception):
    """The kernel ended before its answer. Its argument is its exit code."""


class Kernel:
    """A kernel, with the outputs that it has written so far."""

    def __init__(self, argv, home, env=None, preexec=None):
        ours, theirs = socket.socketpair()
        self._socket = ours

        def prepare():
            os.setsid()
            # A runner in the background ignores it, and programs inherit that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            # The socket may be descriptor 3 already, and then be closed on exec.
            os.dup2(theirs.fileno(), 3, inheritable=True) if theirs.fileno() != 3 else os.set_inheritable(3, True)
            if preexec is not None:
                preexec()

        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(env or {})}
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=home, env=environment,
            preexec_fn=prepare, pass_fds=(3,), close_fds=True,
        )  # fmt: skip
        theirs.close()
        self._out = {"out": bytearray(), "err": bytearray()}
        self._control = bytearray()
        self.shown = []
        # What was written and shown, in order: a value is "\x01".
        self._stream = bytearray()
        self._waits = selectors.DefaultSelector()
        for source, name in ((self.process.stdout, "out"), (self.process.stderr, "err"), (ours, "control")):
            os.set_blocking(source.fileno(), False)
            self._waits.register(source, selectors.EVENT_READ, name)
        assert self._next() == {"ready": True}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the kernel with all that it started. Returns its exit code."""
        self._socket.close()
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            code = None
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()
        self._waits.close()
        return code

    def _read(self, timeout):
        """Reads what has come, output before messages as init does."""
        found = self._waits.select(timeout)
        for key, _ in sorted(found, key=lambda pair: pair[0].data == "control"):
            if key.data == "control":
                self._drain()
                try:
                    piece = key.fileobj.recv(1 << 16)
                except ConnectionResetError:
                    piece = b""
                self._control += piece
                if not piece:
                    self._waits.unregister(key.fileobj)
            else:
                self._take(key)
        return bool(found)

    def _take(self, key):
        try:
            piece = os.read(key.fd, 1 << 16)
        except BlockingIOError:
            return
        if not piece:
            self._waits.unregister(key.fileobj)
        self._out[key.data] += piece
        if key.data == "out":
            self._stream += piece

    def _drain(self):
        for key in list(self._waits.get_map().values()):
            if key.data != "control":
                self._take(key)

    def _next(self):
        """Returns the next message."""
        ends = time.monotonic() + DEADLINE
        while b"\n" not in self._control:
            if time.monotonic() > ends:
                raise TimeoutError(f"no answer; so far: {self._out}")
            if not any(key.data == "control" for key in self._waits.get_map().values()):
                self._drain()
                raise Died(self.process.wait(DEADLINE), bytes(self._out["out"]).decode(), self._out["err"].decode())
            self._read(0.2)
        line, _, rest = bytes(self._control).partition(b"\n")
        self._control = bytearray(rest)
        return json.loads(line)

    def send(self, **message):
        os.set_blocking(self._socket.fileno(), True)
        self._socket.sendall(json.dumps(message).encode() + b"\n")
        os.set_blocking(self._socket.fileno(), False)

    def answer(self):
        """Returns what the current piece of code gave."""
        while True:
            message = self._next()
            if "ended" in message:
                break
            assert message.keys() == {"show", "main"}, message
            self.shown.append((message["show"], message["main"]))
            self._stream += b"\x01"
        self._drain()
        out, err, stream, shown = self._out["out"], self._out["err"], self._stream, self.shown
        self._out, self._stream, self.shown = {"out": bytearray(), "err": bytearray()}, bytearray(), []
        return Ran(message["ended"], out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), shown,
                   stream.decode("utf-8", "replace"))  # fmt: skip

    number = 0

    def cell(self, source, env=None, stdin=None, options=None):
        self.start(source, env, stdin, options)
        return self.answer()

    def start(self, source, env=None, stdin=None, options=None):
        """Sends a cell, and does not wait for its end."""
        self.number += 1
        self.send(op="cell", source=source, number=self.number, env=env or {}, stdin=stdin, options=options)

    def program(self, source, stdin=None, env=None):
        self.send(op="program", source=source, stdin=stdin, env=env)
        return self.answer()

    def internal(self, code):
        self.send(op="internal", code=code)
        return self.answer()

    def interrupt(self):
        os.killpg(self.process.pid, signal.SIGINT)

    def wait_for(self, text):
        """Waits until the output has a text."""
        ends = time.monotonic() + DEADLINE
        while text.encode() not in self._out["out"]:
            if time.monotonic() > ends:
                raise TimeoutError(f"{text!r} did not come; so far: {self._out}")
            self._read(0.2)


class PythonKernel(Kernel):
    """A kernel for Python in a home folder of its own. `SITE` names a folder of packages."""

    def __init__(self, folder, env=None, python=None, preexec=None):
        site = os.environ.get("SITE")
        given = {**({"PYTHONPATH": site} if site else {}), **(env or {})}
        super().__init__([python or sys.executable, str(folder / "kernel.py")], self.make_home(), given, preexec)

    def make_home(self):
        self._home = tempfile.TemporaryDirectory(prefix="switchtower-machine-", dir="/var/tmp")
        self.home = pathlib.Path(self._home.name).resolve()
        return self.home

    def close(self):
        code = super().close()
        self._home.cleanup()
        return code
