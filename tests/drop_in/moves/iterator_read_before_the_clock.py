# moves: took
# %%
import itertools
ids = itertools.count(10)
first = next(ids)
# %%
# impure
import time
took = time.time()
print(first, took)
# %%
print(first, next(ids), took)
