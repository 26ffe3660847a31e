# moves: up
# %%
import time
def make(n):
    def up():
        nonlocal n
        n += 1
        return n
    def get():
        return n
    return up, get
# %%
# impure
up, get = make(time.time())
# %%
up(), get()
