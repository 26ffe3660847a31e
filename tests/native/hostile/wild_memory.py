# Writes where it finds something in its own memory, until that hits.
import ctypes, gc
for thing in gc.get_objects()[:5000]:
    ctypes.memset(id(thing), 0x41, 64)
print("alive")
