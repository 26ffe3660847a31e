# fails: cell 1: nested too deeply
# %%
# impure
import time
deep = [time.time()]
for _ in range(30000):
    deep = [deep]
# %%
1
