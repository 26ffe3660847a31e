# moves
# %%
# impure
import time
globals()[f"name_{time.time_ns()}"] = 1
if time.time_ns() % 2:
    odd = True
else:
    even = True
# %%
print(sorted(name for name in globals() if name.startswith(("name_", "odd", "even"))))
