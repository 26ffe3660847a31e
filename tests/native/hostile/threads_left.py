# Leaves threads that never end, and does not wait for them.
import threading
def works():
    while True:
        sum(range(1000))
for _ in range(8):
    threading.Thread(target=works, daemon=True).start()
print("left")
