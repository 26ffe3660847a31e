# fails: cell 3: g
# %%
def ticks(start):
    for i in range(10):
        yield start + i
# %%
# impure
import time
now = time.time()
# %%
g = ticks(now)
next(g)
# %%
next(g)
