# Leaves orphans that end at once.
# prints: held
for _ in range(300):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
def dead():
    states = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                states.append(open(f"/proc/{name}/stat").read().rsplit(") ")[1][0])
            except OSError:
                pass
    return states.count("Z")
until = time.monotonic() + 5
while dead() and time.monotonic() < until:
    time.sleep(0.01)
print("held" if dead() == 0 else "ESCAPED", dead())
