# Traces the first process and takes its descriptors.
# gvisor: it has no descriptors of processes
buffer = ctypes.create_string_buffer(64)
piece = struct.pack("QQ", ctypes.addressof(buffer), 64)
there = ctypes.create_string_buffer(struct.pack("QQ", 0x400000, 64))
here = ctypes.create_string_buffer(piece)
attempt("attach", lambda: call(101, 16, 1, 0, 0))
attempt("seize", lambda: call(101, 0x4206, 1, 0, 0))
attempt("read", lambda: call(310, 1, here, 1, there, 1, 0))
attempt("write", lambda: call(311, 1, here, 1, there, 1, 0))
first = call(434, 1, 0)
for number in range(12):
    attempt(f"descriptor {number}", lambda: call(438, first, number, 0))
attempt("advice", lambda: call(440, first, there, 1, 4, 0))
attempt("kcmp", lambda: call(312, 1, os.getpid(), 0, 0, 0))
