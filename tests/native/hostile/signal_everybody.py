# Signals every process that it can name, by every call that sends one.
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
sent = []
for target in [0, -1, os.getppid(), 1, 2, 3, *range(100, 400)]:
    if target == os.getpid():
        continue
    for name, call in (
        ("kill", lambda: libc.kill(target, 10)),
        ("tgkill", lambda: libc.syscall(234, target, target, 10)),
        ("tkill", lambda: libc.syscall(200, target, 10)),
        ("queue", lambda: libc.syscall(129, target, 10, ctypes.create_string_buffer(128))),
        ("group", lambda: libc.killpg(target, 10) if target > 1 else -1),
    ):
        if call() == 0:
            sent.append((name, target))
print("SENT" if sent else "none sent", sent[:5])
