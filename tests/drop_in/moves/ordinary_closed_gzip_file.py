# moves
# %%
# impure
import time
began = time.time()
import gzip
with gzip.open("a.gz", "wb") as packed:
    packed.write(b"one")
with gzip.open("a.gz", "rt") as text:
    content = text.read()
with gzip.GzipFile(f"{time.time_ns()}.gz", "wb") as clock:
    clock.write(b"two")
# %%
packed.closed, packed.name.endswith("a.gz"), text.closed, content, clock.closed, clock.name[-3:], clock.mode == packed.mode
