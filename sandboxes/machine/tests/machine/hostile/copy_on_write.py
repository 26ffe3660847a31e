# Writes to a file of the host through its own memory.
# prints: held
import mmap

path = "/bin/cat"
before = read(path, 4096)
with open(path, "rb") as file:
    mapped = mmap.mmap(file.fileno(), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ)
at = next(int(line.split("-")[0], 16) for line in open("/proc/self/maps") if line.rstrip().endswith("/cat"))
try:
    with open("/proc/self/mem", "rb+", buffering=0) as memory:
        memory.seek(at)
        memory.write(b"changed!")
except OSError as error:
    print("refused", error.errno)
print("held" if read(path, 4096) == before else "ESCAPED")
