# Watches files until it cannot.
# prints: held
libc.inotify_init1.restype = ctypes.c_int
count = 0
while count < 4000 and libc.inotify_init1(0) >= 0:
    count += 1
print("held", count)
