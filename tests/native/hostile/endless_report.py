# Sends one report of as much as may be, byte by byte, then another.
import os, struct
while True:
    os.write(3, struct.pack("<I", 64 << 20))
    for _ in range(64 << 4):
        os.write(3, b"\x00" * (1 << 16))
