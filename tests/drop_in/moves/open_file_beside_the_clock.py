# moves
# %%
# impure
import time
log = open("log.txt", "w")
began = time.time()
# %%
log.write("line\n")
# %%
log.close()
print(open("log.txt").read(), began)
