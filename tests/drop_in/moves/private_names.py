# moves: _stamp
# %%
# impure
import time
_stamp = time.time()
_i_mine, _item, __odd = 1, 2, 3
# %%
input = len
open = "mine"
# %%
print(_stamp, _i_mine, _item, globals()["__odd"], input("abc"), open)
