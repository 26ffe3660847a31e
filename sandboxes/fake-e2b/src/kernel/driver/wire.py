# Messages between the host and the driver, one JSON object a line: requests on one descriptor, answers on another. The
# program has neither descriptor. `kernel/messages.rs` has the same messages; `sandboxes/python/schema.json` lists them.
import ast, asyncio, base64, builtins, codecs, contextvars, datetime, importlib, inspect, io, json, linecache, os, re, shlex, signal
import subprocess, sys, threading, time, tokenize, types, zlib, queue
from typing import Any



def kept(module: Any) -> Any:
    """Returns a copy of a module, so that the driver has its functions although a program replaces them."""
    copy = types.ModuleType(module.__name__)
    vars(copy).update(vars(module))
    return copy


json, signal = kept(json), kept(signal)
for part in [part for name, part in sys.modules.items() if name.startswith(f"{__name__}.")]:
    if "json" in vars(part):
        vars(part)["json"] = json
read, write, process_id = os.read, os.write, os.getpid

# The one shell, once `main` has made it.
SHELL: Any = None

# The fields of each message besides its `type`, and the types that a field may have.
REQUESTS: dict[str, dict[str, tuple[type, ...]]] = {
    # modules: the top-level modules that cells may import besides the standard library; None: all that are installed.
    # root: the sandbox's folder on the host where namespaces are not used, else None.
    # language: that of all cells, "python" or "bash".
    "setup": {"modules": (list, type(None)), "root": (str, type(None)), "language": (str,)},
    # env: variables for this cell alone.
    "run": {"code": (str,), "env": (dict,)},
    "interrupt": {},
}
ANSWERS: dict[str, dict[str, tuple[type, ...]]] = {
    # Waits for its first cell.
    "ready": {},
    # The cell has ended.
    "done": {},
    # row: a row of the execution as JSON text, which the host passes on to the client as it is.
    "row": {"row": (str,)},
}


def check_message(message: Any, kinds: dict[str, dict[str, tuple[type, ...]]]) -> None:
    """Raises an error unless a message has exactly the fields of its type."""
    kind = message.get("type")
    if kind not in kinds:
        raise ValueError(f"message type {kind!r} is unknown; allowed are {', '.join(kinds)}")
    fields = kinds[kind]
    if message.keys() != {"type", *fields}:
        raise ValueError(f"message {kind} has the fields {[*message]}, and should have {['type', *fields]}")
    for name, allowed in fields.items():
        if not isinstance(message[name], allowed):
            raise TypeError(f"field {name} of message {kind} has a value of type {type(message[name]).__name__}")


def _move(number: int, mode: Any) -> Any:
    """Takes a descriptor away from the program and its children."""
    copy = os.dup(number)
    os.set_inheritable(copy, False)
    return os.fdopen(copy, mode, buffering=0)


class Wire:
    def __init__(self) -> None:
        self.requests = io.BufferedReader(_move(0, "rb"))
        self.answers = _move(1, "wb")
        self.lock = threading.Lock()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)

    def send(self, kind: str, **fields: Any) -> None:
        message = {"type": kind, **fields}
        check_message(message, ANSWERS)
        data = json.dumps(message).encode() + b"\n"
        with self.lock:
            view = memoryview(data)
            while view:
                view = view[self.answers.write(view) :]

    def send_row(self, row: Any) -> None:
        # JSON in JSON, because a row may have numbers that only Python's JSON has, like NaN.
        self.send("row", row=json.dumps(row, default=repr))

    def request(self) -> Any:
        """Returns the next request, or None when the host has closed its end."""
        line = self.requests.readline()
        if not line:
            return None
        request = json.loads(line)
        check_message(request, REQUESTS)
        return request


def now() -> Any:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="microseconds")


