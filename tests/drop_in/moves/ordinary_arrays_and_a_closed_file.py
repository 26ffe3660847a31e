# moves
# packages: numpy
# %%
# impure
import time
began = time.time()
import numpy as np
a = np.arange(4)
with open("out.txt", "w") as f:
    f.write(str(a.sum()))
rng = np.random.default_rng(3)
x = rng.normal(size=3)
square = np.vectorize(lambda n: n * n)
line = np.poly1d([1, 2])
with np.load("none.npz") if False else open("out.txt") as g:
    pass
np.savez("some.npz", a=a)
with np.load("some.npz") as loaded:
    b = loaded["a"]
# %%
a.tolist(), f.closed, rng.normal(), x.tolist(), square(3), line(2), b.tolist(), loaded.files
