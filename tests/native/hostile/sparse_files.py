# Files that are larger than anything, and memory made of files.
import mmap, os
for size in (1 << 40, 1 << 34, 1 << 31):
    try:
        with open("/tmp/sparse", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        print("GOT", size)
    except OSError as error:
        print("refused", error.errno in (27, 28, 95, 22))
held = []
try:
    for n in range(64):
        file = open(f"/tmp/m{n}", "w+b")
        file.truncate(64 << 20)
        held.append(mmap.mmap(file.fileno(), 64 << 20))
        held[-1].write(b"x" * (64 << 20))
    print("GOT", n)
except (OSError, ValueError, MemoryError) as error:
    print("refused")
