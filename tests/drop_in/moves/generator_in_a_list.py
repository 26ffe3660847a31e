# fails: cell 2: keep
# %%
import itertools, random
pool = []
# %%
keep = itertools.cycle("abcdef")
pool.append(keep)
# %%
# impure
for _ in range(random.randrange(6)):
    next(pool[0])
pool = None
# %%
next(keep)
