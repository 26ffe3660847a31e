# moves
# %%
x = 1
import sys
sys.exit(3)
# %%
y = x + 1
# %%
print(x, y)
