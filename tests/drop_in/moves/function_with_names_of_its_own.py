# fails: cell 2: a function with names of its own
# %%
import random, types
def token():
    return secret
# %%
# impure
copy = types.FunctionType(token.__code__, {"secret": random.random()})
# %%
copy()
