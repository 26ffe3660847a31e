# moves
# %%
from decimal import Decimal, getcontext, ROUND_DOWN
getcontext().prec = 50
getcontext().rounding = ROUND_DOWN
third = Decimal(1) / 3
# %%
print(third, Decimal(2) / 3)
