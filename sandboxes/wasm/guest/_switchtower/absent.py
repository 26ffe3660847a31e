"""What this sandbox does not have: threads, other processes, the network.

Each way in names the need to the host first. Where no other tier can take the program, it then sees the exception that
an offline machine without privileges would give.
"""

import _socket
import _thread
import asyncio
import os
import posix
import signal
import socket
import subprocess
import sys

from . import errors, host


def _missing(kind, name, error):
    def absent(*args, **kwargs):
        detail = name
        if kind == "PROCESS" and args and isinstance(args[0], (str, list, tuple)):
            detail = f"{name}: {args[0] if isinstance(args[0], str) else ' '.join(map(str, args[0]))}"[:200]
        host.lack(kind, detail)
        raise error()

    absent.__name__ = absent.__qualname__ = name.rpartition(".")[2]
    return absent


def _no_thread():
    return RuntimeError("can't start new thread")


def _no_process():
    return PermissionError(1, "Operation not permitted")


def _no_name():
    return socket.gaierror(-3, "Temporary failure in name resolution")


class _Offline(socket.socket):
    """A socket that can be made, set up and closed, and that reaches nobody."""

    # Made without the operating system: there is no network to ask for one.
    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        self._io_refs, self._closed = 0, False
        self._family = socket.AF_INET if family == -1 else family
        self._type = socket.SOCK_STREAM if type == -1 else type
        self._timeout = socket.getdefaulttimeout()

    family = property(lambda self: self._family)
    type = property(lambda self: self._type)
    proto = property(lambda self: 0)
    timeout = property(lambda self: self._timeout)

    def _unreachable(self, address="", *rest):
        host.lack("NETWORK", _place(address))
        raise errors.error(101)

    connect = bind = sendto = sendall = send = recv = recvfrom = recv_into = accept = listen = _unreachable

    def connect_ex(self, address):
        host.lack("NETWORK", _place(address))
        return 101

    def settimeout(self, value):
        self._timeout = value

    def gettimeout(self):
        return self._timeout

    def setblocking(self, flag):
        self._timeout = None if flag else 0.0

    def setsockopt(self, *args):
        pass

    def getsockopt(self, *args):
        return 0

    def fileno(self):
        return -1

    def close(self):
        self._closed = True

    def shutdown(self, how):
        pass

    def detach(self):
        return -1

    def __repr__(self):
        return f"<socket.socket fd=-1, family={self._family}, type={self._type}, proto=0>"


def _place(address):
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return str(address)[:200]


def _unresolved(host_name="", *args, **kwargs):
    host.lack("NETWORK", str(host_name)[:200])
    raise _no_name()


def _popen(self, args, *rest, **options):
    self.returncode = None
    self._child_created = False
    words = args if isinstance(args, (str, bytes)) else " ".join(map(str, args))
    host.lack("PROCESS", str(words)[:200])
    first = words.split() if words else [""]
    raise FileNotFoundError(2, "No such file or directory", first[0] if first else "")


def _hostname():
    host.identity()
    return "sandbox"


PROCESS = (
    "abort fork forkpty kill killpg execv execve posix_spawn posix_spawnp spawnv spawnve wait waitpid wait3 wait4 waitid "
    "system popen pipe nice setsid setpgid getpgid setuid setgid seteuid setegid setreuid setregid chroot chown lchown "
    "mkfifo mknod mount umount ptrace sched_setaffinity pidfd_open memfd_create getgroups initgroups"
).split()


def install(replacements):
    for name in ("start_new_thread", "start_joinable_thread", "start_new"):
        if hasattr(_thread, name):
            replacements.put(_thread, name, _missing("THREADS", name, _no_thread))
    for name in PROCESS:
        if name != "abort":
            absent = _missing("PROCESS", "os." + name, _no_process)
            replacements.put(os, name, absent)
            if name not in ("popen",):
                posix.__dict__[name] = absent
    for name in ("alarm", "setitimer", "pthread_kill", "raise_signal"):
        replacements.put(signal, name, _missing("PROCESS", "signal." + name, _no_process))
    for number, name in ((14, "SIGALRM"), (9, "SIGKILL"), (10, "SIGUSR1"), (12, "SIGUSR2"), (1, "SIGHUP"), (17, "SIGCHLD")):
        if not hasattr(signal, name):
            setattr(signal, name, number)
    subprocess.Popen.__init__ = _popen
    subprocess._can_fork_exec = True

    async def no_child(*args, **options):
        _popen(subprocess.Popen.__new__(subprocess.Popen), args[0] if len(args) == 1 else args)

    asyncio.create_subprocess_exec = asyncio.subprocess.create_subprocess_exec = no_child
    asyncio.create_subprocess_shell = asyncio.subprocess.create_subprocess_shell = no_child

    _Offline.__name__ = _Offline.__qualname__ = "socket"
    _Offline.__module__ = "socket"
    replacements.put(socket, "socket", _Offline)
    socket.SocketType = _Offline
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo", "getfqdn"):
        replacements.put(socket, name, _unresolved)
        if hasattr(_socket, name):
            _socket.__dict__[name] = _unresolved
    replacements.put(socket, "gethostname", _hostname)
    _socket.gethostname = _hostname
    sys.modules.pop("pty", None)


def leave(code):
    """os._exit: at once, without flushing."""
    host.leave(int(code) & 0xFF)
