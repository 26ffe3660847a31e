# moves
# packages: native
# %%
# impure
import time
began = time.time()
import shelve
with shelve.open("kept") as shelf:
    shelf["a"] = began
# %%
try:
    shelf["a"]
except ValueError as error:
    print(error)
