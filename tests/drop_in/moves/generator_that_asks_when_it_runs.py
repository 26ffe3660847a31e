# fails: cell 1: g
# %%
import random
g = (random.random() for _ in range(3))
# %%
# impure
first = next(g)
# %%
next(g)
