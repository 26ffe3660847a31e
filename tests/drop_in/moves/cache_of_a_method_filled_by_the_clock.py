# fails: cell 1: remembers results
# %%
import functools, time
class Clock:
    @functools.lru_cache(maxsize=8)
    def read(self, *, zone):
        return time.time()
# %%
# impure
Clock().read(zone=3)
# %%
1
