# moves
# %%
import threading, weakref
lock = threading.Lock()
held = threading.Lock()
held.acquire()
class Thing:
    pass
thing = Thing()
ref = weakref.ref(thing)
local = threading.local()
# %%
lock.acquire(blocking=False), held.acquire(blocking=False), ref() is thing
