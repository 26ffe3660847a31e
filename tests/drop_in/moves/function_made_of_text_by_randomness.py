# fails: cell 2: made of text
# %%
import random
# %%
# impure
f = eval(f"lambda: {random.random()}")
# %%
f()
