# As many threads as there are numbers for.
import threading, time
count = 0
try:
    for _ in range(100_000):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        count += 1
except (RuntimeError, MemoryError) as error:
    print("refused", type(error).__name__, count < 1000)
