"""What this sandbox does not have: threads, other processes, the network.

Each function reports the need to the host first. Where no other tier can take the program, it then raises what an
offline machine without privileges would raise.
"""

from __future__ import annotations

import _socket
import _thread
import asyncio
import http.client
import ipaddress
import os
import posix
import signal
import socket
import sqlite3
import subprocess
import urllib.request
import uuid
from collections.abc import Callable
from typing import Any

from . import host, os_errors, shell_line
from .paths import HOME
from .replacements import Replacements


def _missing(kind: Any, name: str, error: Callable[[], BaseException]) -> Any:
    def refuse(*args: Any, **kwargs: Any) -> None:
        detail = name
        if kind == "PROCESS" and args and isinstance(args[0], (str, list, tuple)):
            detail = f"{name}: {args[0] if isinstance(args[0], str) else ' '.join(map(str, args[0]))}"[:200]
        if name in ("os.system", "os.popen") and args:
            host.report_need(*_need_of_command(args[0], True, detail))
        else:
            host.report_need(kind, detail)
        raise error()

    refuse.__name__ = refuse.__qualname__ = name.rpartition(".")[2]
    return refuse


def _need_of_command(command: Any, shell: bool, detail: str) -> tuple[str, str]:
    """Returns what a command needs: pip can be answered without a process, in a tier that has it."""
    if shell_line.of_process(command, shell) is not None:
        return "MODULE", "pip"
    return "PROCESS", detail[:200]


def _no_thread() -> BaseException:
    return RuntimeError("can't start new thread")


def _no_process() -> BaseException:
    return PermissionError(1, "Operation not permitted")


def _no_name() -> BaseException:
    return socket.gaierror(-3, "Temporary failure in name resolution")


class _Offline(socket.socket):
    """A socket that can be made, set up and closed, but not connected."""

    # Made without the operating system: there is no network.
    def __init__(self, family: Any = -1, type: Any = -1, proto: Any = -1, fileno: Any = None) -> None:
        self._io_refs, self._closed = 0, False
        self._family = socket.AF_INET if family == -1 else family
        self._type = socket.SOCK_STREAM if type == -1 else type
        self._timeout = socket.getdefaulttimeout()

    family = property(lambda self: self._family)
    type = property(lambda self: self._type)
    proto = property(lambda self: 0)
    timeout = property(lambda self: self._timeout)

    def _unreachable(self, address: Any = "", *rest: Any) -> None:
        host.report_need("NETWORK", _address_text(address))
        raise os_errors.error(101)

    connect = bind = sendto = sendall = send = recv = recvfrom = recv_into = accept = listen = _unreachable

    def connect_ex(self, address: Any) -> int:
        host.report_need("NETWORK", _address_text(address))
        return 101

    def settimeout(self, value: Any) -> None:
        self._timeout = value

    def gettimeout(self) -> Any:
        return self._timeout

    def setblocking(self, flag: Any) -> None:
        self._timeout = None if flag else 0.0

    def setsockopt(self, *args: Any) -> None:
        pass

    def getsockopt(self, *args: Any) -> int:
        return 0

    def fileno(self) -> Any:
        return -1

    def close(self) -> None:
        self._closed = True

    def shutdown(self, how: Any) -> None:
        pass

    def detach(self) -> Any:
        return -1

    def __repr__(self) -> str:
        return f"<socket.socket fd=-1, family={self._family}, type={self._type}, proto=0>"


def _address_text(address: Any) -> Any:
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return str(address)[:200]


def _unresolved(host_name: Any = "", *args: Any, **kwargs: Any) -> None:
    host.report_need("NETWORK", str(host_name)[:200])
    raise _no_name()


def _getaddrinfo(
    host_name: Any, port: Any, family: Any = 0, type: Any = 0, proto: Any = 0, flags: int = 0
) -> list[Any]:
    """Addresses that need no name server are resolved; reaching them is another matter."""
    text = host_name.decode() if isinstance(host_name, bytes) else host_name
    try:
        address = ipaddress.ip_address("127.0.0.1" if text in (None, "", "localhost") else text)
    except ValueError:
        _unresolved(text)
    number = int(port) if port is not None and str(port).isdigit() else 0
    kind = socket.AF_INET if address.version == 4 else socket.AF_INET6
    place = (str(address), number) if address.version == 4 else (str(address), number, 0, 0)
    return [(kind, socket.SocketKind(type or socket.SOCK_STREAM), proto or 6, "", place)]


def _gethostbyname(host_name: Any) -> Any:
    return _getaddrinfo(host_name, None)[0][4][0]


class _HTTPSConnection(http.client.HTTPConnection):
    """A connection that can be made, but not opened: there is neither TLS nor a network here."""

    default_port = 443

    def __init__(
        self,
        host: Any,
        port: Any = None,
        *,
        timeout: Any = socket._GLOBAL_DEFAULT_TIMEOUT,
        source_address: Any = None,
        context: Any = None,
        blocksize: Any = 8192,
    ) -> None:
        super().__init__(host, port, timeout, source_address, blocksize)


class _HTTPSHandler(urllib.request.AbstractHTTPHandler):
    def __init__(self, debuglevel: Any = None, context: Any = None, check_hostname: Any = None) -> None:
        super().__init__(debuglevel)

    def https_open(self, request: Any) -> Any:
        return self.do_open(http.client.HTTPSConnection, request)

    https_request = urllib.request.AbstractHTTPHandler.do_request_


def _connect_sqlite(database: Any, *args: Any, **options: Any) -> Any:
    """Databases in memory work; those in files need a file system that C code can reach, as other tiers have one."""
    name = os.fsdecode(database) if isinstance(database, (bytes, os.PathLike)) else database
    if isinstance(name, str) and name not in (":memory:", "") and "mode=memory" not in name and ":memory:" not in name:
        path = os.path.abspath(name.removeprefix("file:").partition("?")[0])
        if path.startswith((HOME + "/", "/tmp/")):
            host.report_need("MODULE", "_sqlite3")
        else:
            host.report_need("FILES", path[:200])
    return _sqlite_connect(database, *args, **options)


_sqlite_connect = sqlite3.connect


def _popen(self: Any, args: Any, *rest: Any, **options: Any) -> None:
    self.returncode = None
    self._child_created = False
    words = args if isinstance(args, (str, bytes)) else " ".join(map(str, args))
    host.report_need(*_need_of_command(args, options.get("shell", False), str(words)))
    first = words.split() if words else [""]
    raise FileNotFoundError(2, "No such file or directory", first[0] if first else "")


def _hostname() -> str:
    host.identity()
    return "sandbox"


def _leave(code: str) -> None:
    """os._exit: at once, without flushing."""
    host.leave(int(code) & 0xFF)


PROCESS = (
    "abort fork forkpty kill killpg execv execve posix_spawn posix_spawnp spawnv spawnve wait waitpid wait3 wait4 waitid "
    "system popen pipe nice setsid setpgid getpgid setuid setgid seteuid setegid setreuid setregid chroot chown lchown "
    "mkfifo mknod mount umount ptrace sched_setaffinity pidfd_open memfd_create getgroups initgroups"
).split()


def install(replacements: Replacements) -> None:
    for name in ("start_new_thread", "start_joinable_thread", "start_new"):
        if hasattr(_thread, name):
            replacements.put(_thread, name, _missing("THREADS", name, _no_thread))
    for name in PROCESS:
        if name != "abort":
            refuse = _missing("PROCESS", "os." + name, _no_process)
            replacements.put(os, name, refuse)
            if name not in ("popen",):
                posix.__dict__[name] = refuse
    for name in ("alarm", "setitimer", "pthread_kill", "raise_signal"):
        replacements.put(signal, name, _missing("PROCESS", "signal." + name, _no_process))
    for number, name in (
        (14, "SIGALRM"),
        (9, "SIGKILL"),
        (10, "SIGUSR1"),
        (12, "SIGUSR2"),
        (1, "SIGHUP"),
        (17, "SIGCHLD"),
    ):
        if not hasattr(signal, name):
            setattr(signal, name, number)
    subprocess.Popen.__init__ = _popen
    subprocess._can_fork_exec = True

    async def no_program(*args: Any, **options: Any) -> None:
        _popen(subprocess.Popen.__new__(subprocess.Popen), args)

    async def no_line(cmd: Any, *args: Any, **options: Any) -> None:
        _popen(subprocess.Popen.__new__(subprocess.Popen), cmd, shell=True)

    asyncio.create_subprocess_exec = asyncio.subprocess.create_subprocess_exec = no_program
    asyncio.create_subprocess_shell = asyncio.subprocess.create_subprocess_shell = no_line

    _Offline.__name__ = _Offline.__qualname__ = "socket"
    _Offline.__module__ = "socket"
    replacements.put(socket, "socket", _Offline)
    socket.SocketType = _Offline
    for name, function in (("getaddrinfo", _getaddrinfo), ("gethostbyname", _gethostbyname)):
        replacements.put(socket, name, function)
        _socket.__dict__[name] = function
    for name in ("gethostbyname_ex", "gethostbyaddr", "getnameinfo", "getfqdn"):
        replacements.put(socket, name, _unresolved)
        if hasattr(_socket, name):
            _socket.__dict__[name] = _unresolved
    replacements.put(socket, "gethostname", _hostname)
    _socket.gethostname = _hostname
    http.client.HTTPSConnection = _HTTPSConnection
    urllib.request.HTTPSHandler = _HTTPSHandler
    for kind, name in ((_HTTPSConnection, "HTTPSConnection"), (_HTTPSHandler, "HTTPSHandler")):
        kind.__name__ = kind.__qualname__ = name
    replacements.put(sqlite3, "connect", _connect_sqlite)
    # These functions run other programs to find the address of a network card; without them, a random one is drawn.
    uuid._GETTERS = []
    os._exit = _leave
