# moves: Out[1], t
# %%
# impure
import time
time.time()
# %%
t = _
# %%
6 * 7
# %%
# impure
map(str, [time.time()])
# %%
print(t == Out[1] == _1, Out[3], __, In[2].strip(), len(In), _i2.strip() if "_i2" in globals() else "t = _")
