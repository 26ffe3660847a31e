# moves: store
# %%
# impure
import time
began = time.time()
import threading
class Store:
    def __init__(self):
        self.lock, self.made, self.ready = threading.RLock(), time.time(), threading.Event()
        self.inner = threading.Lock()
store = Store()
store.ready.set()
# %%
with store.lock, store.inner:
    pass
store.ready.is_set(), store.made > 0
