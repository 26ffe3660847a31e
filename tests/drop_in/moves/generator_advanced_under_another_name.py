# fails: cell 1: g
# %%
import time
def ticks():
    while True:
        hidden = [time.time()]
        yield from hidden
g = ticks()
# %%
tmp = g
# %%
# impure
next(tmp)
# %%
del tmp
# %%
next(g)
