# Runs another program out of memory.
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
try:
    program = os.memfd_create("program")
except OSError:
    program = os.open("/tmp/program", os.O_CREAT | os.O_RDWR, 0o755)
os.write(program, b"#!/bin/sh\necho ESCAPED\n")
os.set_inheritable(program, True)
for attempt in (
    lambda: libc.syscall(322, program, b"", None, None, 0x1000),
    lambda: os.execve(program, ["sh"], {}),
    lambda: os.execv("/bin/sh", ["sh", "-c", "echo ESCAPED"]),
    lambda: os.execv("/lib64/ld-linux-x86-64.so.2", ["ld", "/bin/sh", "-c", "echo ESCAPED"]),
):
    try:
        if attempt() == -1: print("refused")
    except OSError:
        print("refused")
