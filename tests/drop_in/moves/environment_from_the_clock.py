# moves
# %%
# impure
import os, time
os.environ["STAMP"] = str(time.time())
# %%
print(os.environ["STAMP"])
