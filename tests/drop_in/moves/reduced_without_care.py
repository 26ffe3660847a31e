# fails: cell 2: different
# %%
import time
class Connection:
    def __init__(self):
        self.stamp = time.time()
    def __getstate__(self):
        return {"other": 1}
# %%
# impure
connection = Connection()
# %%
connection.stamp
