# Writes to files in memory without a name.
# ends: killed
# gvisor: the whole machine ends
while True:
    file = os.memfd_create("a")
    for _ in range(100):
        os.write(file, b"y" * (1 << 20))
