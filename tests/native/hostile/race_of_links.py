# A thread turns a link to and fro while another opens it.
import os, threading, time
os.symlink("/tmp/mine", "/tmp/link")
open("/tmp/mine", "w").write("mine")
def turns():
    while True:
        for target in ("/etc/passwd", "/tmp/mine"):
            try:
                os.symlink(target, "/tmp/next")
                os.rename("/tmp/next", "/tmp/link")
            except OSError:
                pass
threading.Thread(target=turns, daemon=True).start()
until, seen = time.monotonic() + 1.0, set()
while time.monotonic() < until:
    try:
        seen.add(open("/tmp/link").read()[:8])
    except OSError:
        pass
print("ESCAPED" if seen - {"mine"} else "held")
