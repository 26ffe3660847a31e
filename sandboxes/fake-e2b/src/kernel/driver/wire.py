# The wire: orders come in on one descriptor, lines go out on another; the program sees neither.
import ast, asyncio, base64, builtins, datetime, importlib, inspect, io, json, linecache, os, re, signal, subprocess
import sys, threading, time, tokenize, types, zlib, queue
from typing import Any

# The one shell, once `main` has made it.
SHELL: Any = None


def _move(number: int, mode: Any) -> Any:
    """Takes a descriptor away from the program and its children."""
    copy = os.dup(number)
    os.set_inheritable(copy, False)
    return os.fdopen(copy, mode, buffering=0)


class Wire:
    def __init__(self) -> None:
        self.orders = io.BufferedReader(_move(0, "rb"))
        self.lines = _move(1, "wb")
        self.lock = threading.Lock()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def send(self, line: Any) -> None:
        self.write(json.dumps(line, default=repr).encode("utf-8", "surrogatepass") + b"\n")

    def write(self, data: Any) -> None:
        with self.lock:
            view = memoryview(data)
            while view:
                view = view[self.lines.write(view) :]

    def order(self) -> Any:
        line = self.orders.readline()
        return json.loads(line) if line else None


def now() -> Any:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")


