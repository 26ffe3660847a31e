# fails: cell 2: made of text
# %%
import random
# %%
# impure
def make():
    names = {"token": random.random()}
    exec("def f():\n    return token", names)
    return names["f"]
f = make()
# %%
f()
