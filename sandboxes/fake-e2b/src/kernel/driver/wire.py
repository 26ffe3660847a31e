# The wire: orders come in on one descriptor, lines go out on another; the program sees neither.
import ast, asyncio, base64, builtins, datetime, importlib, inspect, io, json, linecache, os, re, signal, subprocess
import sys, threading, time, tokenize, types, zlib, queue


def _move(number, mode):
    """Takes a descriptor away from the program and its children."""
    copy = os.dup(number)
    os.set_inheritable(copy, False)
    return os.fdopen(copy, mode, buffering=0)


class Wire:
    def __init__(self):
        self.orders = io.BufferedReader(_move(0, "rb"))
        self.lines = _move(1, "wb")
        self.lock = threading.Lock()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def send(self, line):
        self.write(json.dumps(line, default=repr).encode("utf-8", "surrogatepass") + b"\n")

    def write(self, data):
        with self.lock:
            view = memoryview(data)
            while view:
                view = view[self.lines.write(view) :]

    def order(self):
        line = self.orders.readline()
        return json.loads(line) if line else None


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")


