# fails: cell 2: generator
# %%
# impure
import random
word = [random.random() for _ in range(3)]
# %%
g = (w for w in word)
# %%
next(g)
