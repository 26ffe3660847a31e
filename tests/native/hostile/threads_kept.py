# Leaves threads that the interpreter waits for.
import threading
def works():
    while True:
        try: sum(range(1000))
        except BaseException: pass
for _ in range(8):
    threading.Thread(target=works).start()
print("left", flush=True)
