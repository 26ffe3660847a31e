# Keys, which belong to the host's kernel.
attempt("add_key", lambda: call(248, ctypes.c_char_p(b"user"), ctypes.c_char_p(b"x"), ctypes.c_char_p(b"y"), 1, -4))
attempt("request_key", lambda: call(249, ctypes.c_char_p(b"user"), ctypes.c_char_p(b"x"), 0, -4))
for operation in (0, 1, 6, 10, 11, 14, 18, 22):
    attempt(f"keyctl {operation}", lambda: call(250, operation, -4, 0, 0, 0))
