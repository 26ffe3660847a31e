# moves
# %%
import sys
sys.setrecursionlimit(2345)
sys.set_int_max_str_digits(5000)
# %%
print(sys.getrecursionlimit(), sys.get_int_max_str_digits())
