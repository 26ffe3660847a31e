# moves
# packages: tqdm
# %%
# impure
import time
began = time.time()
from tqdm import tqdm, trange
total = 0
bar = tqdm([1, 2, 3], desc="work")
for n in bar:
    total += n
manual = tqdm(total=10)
manual.update(4)
manual.close()
moving = tqdm(total=5, file=None)
moving.update(2)
# %%
moving.update(1)
bar.n, bar.total, bar.desc, manual.n, manual.total, moving.n, moving.total, total
