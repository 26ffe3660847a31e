# moves
# %%
# impure
import time
began = time.time()
with open("out.txt", "w") as f:
    f.write("one\n")
with open("out.txt") as g:
    lines = g.readlines()
# %%
f.name, f.mode, f.closed, f.encoding, g.mode, g.closed, lines
