# Sets the clock.
# prints: held
time_of = ctypes.create_string_buffer(struct.pack("QQ", 0, 0))
for clock in (0, 1, 7, 11):
    attempt(f"clock {clock}", lambda: call(227, clock, time_of))
attempt("settimeofday", lambda: call(164, time_of, 0))
attempt("adjtimex", lambda: call(159, ctypes.create_string_buffer(struct.pack("I", 0x4000), 256)))
attempt("clock_adjtime", lambda: call(305, 0, ctypes.create_string_buffer(struct.pack("I", 0x4000), 256)))
attempt("date", lambda: subprocess.run(["date", "-s", "2001-01-01"], check=True, capture_output=True))
attempt("time namespace", lambda: write("/proc/self/timens_offsets", "monotonic 100 0"))
print("held" if time.time() > 1.7e9 else "ESCAPED")
