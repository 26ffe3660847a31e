# Promises sixty megabytes and sends two.
import os, struct, time
os.write(3, struct.pack("<I", 60 << 20) + b"xx")
while True:
    time.sleep(1)
