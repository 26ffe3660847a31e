# fails: cell 1: an open file
# %%
# impure
import time
log = open(f"log-{time.time_ns()}.txt", "w")
# %%
log.name
