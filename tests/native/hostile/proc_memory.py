# Writes into processes by way of /proc.
import os
for path in ("/proc/self/mem", "/proc/1/mem", "/proc/self/clear_refs", "/proc/self/oom_score_adj", "/proc/self/attr/exec"):
    try:
        with open(path, "r+b", 0) as file:
            file.seek(4096)
            file.write(b"0")
        print("WROTE", path)
    except OSError as error:
        print("refused", type(error).__name__)
