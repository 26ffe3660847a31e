# moves: log
# %%
import time
log, total = [], 0
def note(n):
    global total
    total += n
    log.append((time.time(), total))
# %%
# impure
note(1)
note(2)
# %%
print(log, total)
