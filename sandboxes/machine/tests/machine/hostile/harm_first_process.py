# Root takes the resources of its own first process: only this machine may suffer.
# then: wedged
for name in ("NOFILE", "NPROC", "AS"):
    number = {"NOFILE": 7, "NPROC": 6, "AS": 9}[name]
    try:
        call(302, 1, number, ctypes.create_string_buffer(struct.pack("QQ", 1, 1)), 0)
    except OSError:
        pass
for file in ("oom_score_adj", "coredump_filter", "clear_refs"):
    try:
        write("/proc/1/" + file, "1000" if file == "oom_score_adj" else "1")
    except OSError:
        pass
