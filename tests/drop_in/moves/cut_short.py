# moves: total, seen
# %%
total, seen = 1, []
def grows(by):
    global total
    total += by
# %%
# cut
import math
seen.append(math.floor(2.5))
grows(2)
raise OSError("no such thing here")
# %%
total += 1
# %%
total, seen, math.floor(0.5), grows.__name__
