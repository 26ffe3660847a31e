# Takes shared memory that no process keeps.
# ends: any
# gvisor: the whole machine ends
taken = 0
try:
    for _ in range(200):
        segment = call(29, 0, 8 << 20, 0o1600)
        place = libc.shmat
        place.restype = ctypes.c_void_p
        at = place(segment, None, 0)
        if at in (None, 2 ** 64 - 1):
            break
        ctypes.memset(at, 1, 8 << 20)
        libc.shmdt(ctypes.c_void_p(at))
        taken += 8
except OSError as error:
    print("refused", error.errno)
print("ESCAPED" if taken > 512 else "held", taken)
