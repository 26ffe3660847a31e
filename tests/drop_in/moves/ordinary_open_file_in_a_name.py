# fails: cell 1: an open file
# %%
# impure
import time
began = time.time()
log = open("log.txt", "w")
log.write("one")
# %%
log.name
