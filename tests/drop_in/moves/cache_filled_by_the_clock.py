# fails: cell 2: remembers results
# %%
import functools, time
@functools.cache
def stamp(n):
    return time.time()
# %%
kept = stamp
# %%
# impure
stamp(1)
# %%
stamp(1)
