# Makes namespaces and enters others.
flags = dict(mnt=0x20000, cgroup=0x2000000, uts=0x4000000, ipc=0x8000000, user=0x10000000, pid=0x20000000, net=0x40000000, time=0x80)
for name, flag in flags.items():
    attempt("unshare " + name, lambda: call(272, flag))
    if name != "time":
        attempt("clone " + name, lambda: call(56, flag | 17, 0, 0, 0, 0))
    attempt("clone user+" + name, lambda: call(56, flag | 0x10000000 | 17, 0, 0, 0, 0))
for name in os.listdir("/proc/self/ns"):
    attempt("setns " + name, lambda: call(308, os.open("/proc/self/ns/" + name, os.O_RDONLY), 0))
attempt("setns of the first process", lambda: call(308, call(434, 1, 0), 0x20000000))
arguments = ctypes.create_string_buffer(struct.pack("11Q", 0x10020000, *[0] * 3, 17, *[0] * 6))
attempt("clone3", lambda: call(435, arguments, 88))
