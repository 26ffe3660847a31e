# moves: it
# %%
from random import random
# %%
# impure
it = enumerate(sorted([1, 2, 3], key=lambda _: random()))
next(it)
# %%
next(it)
