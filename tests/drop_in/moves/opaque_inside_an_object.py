# fails: cell 3: worker
# %%
import time
class Worker:
    def __init__(self, at):
        self.log, self.at = open("log.txt", "a"), at
# %%
quiet = Worker(0)
# %%
# impure
worker = Worker(time.time())
# %%
worker.at
