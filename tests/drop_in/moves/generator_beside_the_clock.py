# moves: began
# %%
def numbers():
    yield from range(100)
# %%
# impure
import time
began = time.time()
g = numbers()
# %%
g = numbers()
next(g)
# %%
print(next(g), began)
