# Opens descriptors in many processes.
# prints: held
def fill():
    count = 0
    try:
        while True:
            os.dup(1)
            count += 1
    except OSError:
        return count
for _ in range(20):
    if os.fork() == 0:
        fill()
        time.sleep(2)
        os._exit(0)
print("held" if fill() <= 4096 else "ESCAPED")
