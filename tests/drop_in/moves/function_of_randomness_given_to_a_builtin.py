# moves: it
# %%
from random import random
# %%
# impure
it = enumerate(sorted(range(9), key=lambda _: random()))
next(it)
# %%
next(it)
