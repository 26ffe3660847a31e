# fails: cell 1: too large
# %%
# impure
import random
noise = random.randbytes(40_000_000)
# %%
len(noise)
