# moves: a, b, c
# %%
# impure
import time
a = [time.time()]
b = [a, a]
c = {"a": a}
# %%
a.append(2)
print(a, b, c, b[0] is a, b[1] is a, c["a"] is a)
