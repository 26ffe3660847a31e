# Traces a program that the first process starts, while it still is that process.
# prints: held
# gvisor: the files of running programs can be changed, in the layer of the machine
def catch():
    seen = set(os.listdir("/proc"))
    until = time.monotonic() + 2
    while time.monotonic() < until:
        for name in set(os.listdir("/proc")) - seen:
            seen.add(name)
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/exe", "rb+") as file:
                        print("ESCAPED wrote to", os.readlink(f"/proc/{name}/exe"))
                except OSError:
                    pass
threads = [threading.Thread(target=catch) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(50):
    subprocess.run(["/bin/true"])
for thread in threads:
    thread.join()
print("held")
