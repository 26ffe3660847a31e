# Stops itself, as a terminal would.
import os, signal
print("before", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
print("after")
