# moves
# packages: native
# %%
# impure
import time
began = time.time()
import os, pathlib
here = pathlib.Path("data")
here.mkdir(exist_ok=True)
(here / "a.txt").write_text("one")
files = sorted(here.glob("*.txt"))
for entry in os.scandir("data"):
    pass
status = os.stat("data/a.txt")
# %%
files, entry.name, entry.path, status.st_size
