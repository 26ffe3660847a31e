# moves: stamp
# %%
# impure
import time
def stamp(now=time.time()):
    return now
stamp.made = time.time()
# %%
print(stamp(), stamp.made)
