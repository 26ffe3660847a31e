# moves
# %%
# impure
import time
began = time.time()
import os, tempfile
with tempfile.NamedTemporaryFile("w", suffix=".csv", dir="/tmp", delete=False) as named:
    named.write("a,b")
with tempfile.TemporaryFile() as unnamed:
    unnamed.write(b"x")
with tempfile.TemporaryDirectory() as folder:
    pass
kept = tempfile.TemporaryDirectory()
kept.cleanup()
# %%
named.closed, named.name[-4:], unnamed.closed, os.path.exists(folder), os.path.exists(kept.name), kept.name[:5]
