# moves
# %%
from math import *
from os.path import join, exists as there
import json as j, collections.abc, os.path as p
# %%
x = sin(pi / 2)
# %%
print(x, floor(2.5), join("a", "b"), there("/nowhere"), j.dumps([1]), p.basename("a/b"))
