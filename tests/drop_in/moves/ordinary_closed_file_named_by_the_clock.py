# moves
# %%
# impure
import time
began = time.time()
with open(f"log-{time.time_ns()}.txt", "w", encoding="utf-8") as f:
    f.write("one")
with open(f.name, "rb") as g:
    size = len(g.read())
# %%
f.name == g.name, f.name.startswith("log-"), f.mode, f.closed, f.encoding, g.mode, g.closed, type(g).__name__, size
