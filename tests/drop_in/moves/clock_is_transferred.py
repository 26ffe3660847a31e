# moves: started
# %%
# impure
import time
started = time.time()
# %%
label = f"{started:.3f}"
# %%
print(started, label, time.__name__)
