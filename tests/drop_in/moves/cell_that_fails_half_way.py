# moves: moment
# %%
items = []
# %%
# impure
import time
moment = time.time()
for n in range(5):
    items.append(n)
    if n == 3:
        raise ValueError("three")
never = 1
# %%
print(items, moment, "never" in globals())
