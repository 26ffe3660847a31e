# Folders so deep that no path leads there.
import os
name, depth = "d" * 200, 0
os.chdir("/tmp")
try:
    while depth < 20_000:
        os.mkdir(name)
        os.chdir(name)
        depth += 1
except OSError as error:
    pass
print("made", depth > 0)
