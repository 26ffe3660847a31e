# fails: cell 1: traceback
# %%
# impure
import time
try:
    raise ValueError(time.time())
except ValueError as e:
    kept = e
# %%
1
