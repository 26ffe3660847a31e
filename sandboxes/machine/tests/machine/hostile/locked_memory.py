# Holds memory that cannot be swapped or freed.
room = ctypes.create_string_buffer(16 << 20)
def lock():
    if libc.mlock(room, 16 << 20):
        raise OSError(ctypes.get_errno(), "mlock")
attempt("mlock", lock)
attempt("secret memory", lambda: os.write(call(447, 0), b"x"))
