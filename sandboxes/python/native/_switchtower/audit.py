"""Reports needs by audit events, before the system is called.

The interpreter announces what it is about to do (PEP 578); what the jail would refuse is reported to the host first.
Where no other tier can take the program, it then raises what an offline machine without privileges would raise.
"""

from __future__ import annotations

import _socket
import os
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import _switchtower_host

from . import host, imports, scratch

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Folders that libraries read, and can do without.
_PROBED = ("/proc/", "/sys/", "/etc/", "/usr/", "/lib", "/opt/", "/var/lib/", "/run/")
# Modules of the standard library that act for their caller.
_PASSING = (
    "/pathlib.py", "/pathlib/", "/os.py", "/glob.py", "/shutil.py", "/codecs.py", "/tokenize.py", "/fileinput.py",
    "/tempfile.py", "/fnmatch.py", "/gzip.py", "/bz2.py", "/lzma.py", "/zipfile.py", "/zipfile/", "/tarfile.py",
    "<frozen os>", "<frozen codecs>", "<frozen genericpath>", "<frozen posixpath>", "/dbm/", "/shelve.py",
)  # fmt: skip
# Modules that start other programs, and can do without.
_PROBING = ("/platform.py", "/ctypes/util.py", "/uuid.py", "/joblib/externals/loky/", "/mimetypes.py", "/getpass.py")
_NO_PROCESS = 1, "Operation not permitted"

_inside = threading.local()


def _caller(passing: Any = ()) -> Any:
    """Returns the file of the code that acts, and whether it is being imported."""
    frame: types.FrameType | None = sys._getframe(3)
    importing = False
    while frame is not None:
        file = frame.f_code.co_filename
        if file.startswith("<frozen importlib._bootstrap"):
            importing = True
        elif not file.startswith("/switchtower/") and not any(part in file for part in passing):
            return file, importing
        frame = frame.f_back
    return "", importing


def is_probing() -> bool:
    """Returns whether a library only tries whether another program is there."""
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        if any(part in frame.f_code.co_filename for part in _PROBING):
            return True
        frame = frame.f_back
    return False


def _outside(path: Any) -> Any:
    """Returns the whole path; None for one of the program's own, of the libraries or of a device."""
    if isinstance(path, int) or path is None:
        return None
    path = os.path.abspath(os.fsdecode(path))
    if scratch.is_own(path) or path.startswith(imports.library_folders) or path.startswith(("/dev/", "/switchtower/")):
        return None
    return path


def _open(path: Any, mode: int, flags: int) -> None:
    path = _outside(path)
    if path is None:
        return
    file, importing = _caller(_PASSING)
    if importing or path.startswith(_PROBED) and not imports.is_program_file(file):
        return
    if not flags & _WRITES:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
            return
        except OSError:
            pass
    host.report_need("FILES", path)


def _list(path: Any = ".") -> None:
    path = _outside("." if path is None else path)
    if path is None:
        return
    file, importing = _caller(_PASSING)
    if importing or not imports.is_program_file(file):
        return
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    except OSError:
        host.report_need("FILES", path)


def _change(path: Any, *rest: Any) -> None:
    path = _outside(path)
    if path is not None:
        host.report_need("FILES", path)


def _make(path: Any, *rest: Any) -> None:
    if not isinstance(path, int) and not os.path.isdir(path):
        _change(path)


def _rename(source: str, target: types.ModuleType | None, *rest: Any) -> None:
    _change(source)
    _change(target)


def _database(name: str) -> None:
    if isinstance(name, (str, bytes, os.PathLike)):
        text = os.fsdecode(name)
        if text and ":memory:" not in text and "mode=memory" not in text:
            _change(text.removeprefix("file:").partition("?")[0])


def _popen(executable: Any, args: Any, folder: Any, environment: Any) -> None:
    words = args if isinstance(args, (str, bytes)) else list(map(_text, args))
    if isinstance(words, list) and words[:2] == ["/bin/sh", "-c"]:
        words = words[2:]  # a line for the shell
    words = _text(words) if isinstance(words, (str, bytes)) else " ".join(words)
    if not is_probing():
        host.report_need("PROCESS", words)
    first = words.split()
    raise FileNotFoundError(2, "No such file or directory", first[0] if first else "")


def _text(word: Any) -> Any:
    return os.fsdecode(word) if isinstance(word, (str, bytes, os.PathLike)) else str(word)


def _process(name: str) -> Any:
    def started(*args: Any) -> None:
        detail = name
        for frame in _callers():
            if "/multiprocessing/" in frame:
                detail = "multiprocessing.Process"
        if name == "os.system" and args:
            detail = _text(args[0])
        if not is_probing():
            host.report_need("PROCESS", detail)
        raise PermissionError(*_NO_PROCESS)

    return started


def _callers() -> Iterator[Any]:
    frame: types.FrameType | None = sys._getframe(2)
    while frame is not None:
        yield frame.f_code.co_filename
        frame = frame.f_back


def _kill(process: Any, *rest: Any) -> None:
    # Signals to itself or to its own group reach the program alone.
    if process not in (os.getpid(), 0, -os.getpid()):
        host.report_need("PROCESS", f"os.kill({process})")
        raise PermissionError(*_NO_PROCESS)


def _numeric(name: str) -> bool:
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, name)
            return True
        except OSError:
            pass
    return False


# The address that was looked up last: a socket that is made next is probably for it.
_last_address = ["a socket"]


def _resolve(name: str = "", port: Any = None, *rest: Any) -> None:
    name = name.decode("utf-8", "replace") if isinstance(name, (bytes, bytearray)) else name
    if not isinstance(name, str) or name in ("", "localhost") or _numeric(name):
        _last_address[0] = f"{name or 'localhost'}{'' if port is None else f':{port}'}"
        return
    host.report_need("NETWORK", name)
    raise _socket.gaierror(-3, "Temporary failure in name resolution")


def _resolve_back(address: Any, *rest: Any) -> None:
    host.report_need("NETWORK", address[0] if isinstance(address, tuple) and address else address)
    raise _socket.gaierror(-3, "Temporary failure in name resolution")


def _socket_made(made: Any, family: Any, kind: Any, protocol: Any) -> None:
    # Unix sockets connect what is here; an existing one is wrapped with the family -1.
    if family in (_socket.AF_UNIX, -1):
        return
    host.report_need("NETWORK", _last_address[0])
    raise OSError(101, "Network is unreachable")


_HANDLERS = {
    "open": _open,
    "os.listdir": _list, "os.scandir": _list,
    "os.mkdir": _make, "os.remove": _change, "os.rmdir": _change, "os.rename": _rename, "os.chmod": _change,
    "os.truncate": _change, "os.utime": _change, "os.link": _rename, "os.symlink": lambda to, at, *rest: _change(at),
    "sqlite3.connect": _database,
    "subprocess.Popen": _popen,
    **{name: _process(name) for name in "os.fork os.forkpty os.system os.exec os.posix_spawn os.spawn".split()},
    "os.kill": _kill, "os.killpg": _kill,
    "socket.__new__": _socket_made, "socket.getaddrinfo": _resolve, "socket.gethostbyname": _resolve,
    "socket.gethostbyaddr": lambda name: _resolve_back((name,)), "socket.getnameinfo": _resolve_back,
}  # fmt: skip


def on_event(event: str, args: Any) -> None:
    """Handles an audit event."""
    handle = _HANDLERS.get(event)
    if handle is None or host.silent or getattr(_inside, "now", False):
        return
    _inside.now = True
    try:
        handle(*args)
    finally:
        _inside.now = False


class SemLock:
    """multiprocessing's semaphore, for threads: no other process could wait for one."""

    SEM_VALUE_MAX = 2**31 - 1

    def __init__(self, kind: Any, value: Any, maxvalue: Any, name: str, unlink: Any) -> None:
        self.kind, self.maxvalue, self.name, self.handle = kind, maxvalue, None, 0
        self._condition, self._value = threading.Condition(), value
        self._owner, self._depth = None, 0

    def acquire(self, block: Any = True, timeout: Any = None) -> bool:
        with self._condition:
            if self.kind == 0 and self._owner == threading.get_ident():
                self._depth += 1
                return True
            if not self._value and (not block or not self._condition.wait_for(lambda: self._value, timeout)):
                return False
            self._value -= 1
            self._owner, self._depth = threading.get_ident(), 1
            return True

    def release(self) -> None:
        with self._condition:
            if self.kind == 0:
                if self._owner != threading.get_ident():
                    raise AssertionError("attempt to release recursive lock not owned by thread")
                self._depth -= 1
                if self._depth:
                    return
            elif self._value >= self.maxvalue:
                raise ValueError("semaphore or lock released too many times")
            self._owner, self._depth = None, 0
            self._value += 1
            self._condition.notify()

    def __enter__(self) -> Any:
        return self.acquire()

    def __exit__(self, *_: Any) -> None:
        self.release()

    def _count(self) -> Any:
        return self._depth if self._is_mine() else 0

    def _is_mine(self) -> bool:
        return self._owner == threading.get_ident()

    def _get_value(self) -> Any:
        return self._value

    def _is_zero(self) -> bool:
        return self._value == 0

    def _after_fork(self) -> None:
        pass


def _spawn(path: Any, args: Any, passfds: Any) -> None:
    host.report_need("PROCESS", "multiprocessing.Process")
    raise PermissionError(*_NO_PROCESS)


def install() -> None:
    import _multiprocessing
    import multiprocessing.util
    import uuid

    _multiprocessing.SemLock = SemLock
    multiprocessing.util.spawnv_passfds = _spawn
    # These functions run other programs to find the address of a network card; without them, a random one is drawn.
    uuid._GETTERS = []
    # The executable's own hook calls for these events alone; one in Python costs a call at every event.
    add_audit_hook = getattr(_switchtower_host, "add_audit_hook", None)
    if add_audit_hook is None:
        sys.addaudithook(on_event)
    else:
        add_audit_hook(list(_HANDLERS), on_event)
