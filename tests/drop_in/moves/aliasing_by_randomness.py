# moves
# %%
# impure
import time
a = [1, 2]
b = a if time.time_ns() % 2 else list(a)
c = a if time.time_ns() // 3 % 2 else list(a)
d = a if time.time_ns() // 5 % 2 else list(a)
# %%
b.append(3)
print(a, b, c, d, a is b, a is c, a is d)
