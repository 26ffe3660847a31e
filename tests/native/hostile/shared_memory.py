# Memory that outlives its process: System V's, POSIX's, queues, locked pages.
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
made = []
if libc.shmget(0x5711, 1 << 20, 0o1666) >= 0: made.append("shmget")
if libc.semget(0x5712, 1, 0o1666) >= 0: made.append("semget")
if libc.msgget(0x5713, 0o1666) >= 0: made.append("msgget")
if libc.shm_open(b"/switchtower-canary", 0o102, 0o666) >= 0: made.append("shm_open")
if libc.syscall(240, b"switchtower-canary", 0o102, 0o666, None) >= 0: made.append("mq_open")
if libc.mlockall(3) == 0: made.append("mlockall")
print("MADE" if made else "none made", made)
