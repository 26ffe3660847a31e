# What all programs here use.
import ctypes, errno, os, signal, socket, struct, subprocess, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)


def call(number, *arguments):
    """Makes a system call by its number; raises its error."""
    packed = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = libc.syscall(ctypes.c_long(number), *packed)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def attempt(name, act):
    """Does what must be refused."""
    try:
        result = act()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        print("refused", name, getattr(error, "errno", error))
    else:
        print("ESCAPED", name, repr(result)[:80])
    sys.stdout.flush()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def read(path, length=64):
    with open(path, "rb") as file:
        return file.read(length)
