# moves: made
# %%
# impure
import time
began = time.time()
def draws(n):
    for _ in range(n):
        yield time.time()
made = draws(2)
times = list(made)
objects = {"times": made, "at": times}
# %%
list(made), made.__name__, objects["times"] is made, objects["at"] is times
