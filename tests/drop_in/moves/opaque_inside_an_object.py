# fails: cell 3: worker
# %%
import threading, time
class Worker:
    def __init__(self, at):
        self.lock, self.at = threading.Lock(), at
# %%
quiet = Worker(0)
# %%
# impure
worker = Worker(time.time())
# %%
worker.at
