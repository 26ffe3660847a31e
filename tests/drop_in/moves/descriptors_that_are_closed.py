# moves: began
# %%
import os, tempfile
number, path = tempfile.mkstemp(dir=".")
os.close(number)
many = list(range(20))
# %%
# impure
import time
began = time.time()
# %%
number > 2, many
