# Runs without random addresses, which changes no right.
# prints: held
# gvisor: it has no such flag
call(135, 0x0040000)
attempt("bits that need rights", lambda: os.setuid(0) if os.getuid() else os.setuid(2 ** 31 - 5))
print("held")
