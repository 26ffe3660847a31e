# moves
# %%
# impure
import time
began = time.time()
import tarfile
open("one.txt", "w").write("1")
with tarfile.open("a.tar", "w") as t:
    t.add("one.txt")
with tarfile.open(f"{time.time_ns()}.tar", "w") as clock:
    clock.add("one.txt")
# %%
t.closed, t.name.endswith("/a.tar"), t.mode, clock.closed, clock.name[-4:]
