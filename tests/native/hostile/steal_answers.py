# A thread takes the answers that the display of values waits for.
import os, threading
from IPython.display import display
def takes():
    while True:
        try: os.read(3, 1)
        except OSError: pass
for _ in range(4):
    threading.Thread(target=takes, daemon=True).start()
for n in range(1000):
    display(n)
