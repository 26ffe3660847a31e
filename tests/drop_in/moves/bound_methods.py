# moves: rolls
# %%
# impure
import random
from random import randint, shuffle
rolls = [randint(1, 10**9)]
roll = rolls.append
# %%
text = "hello".upper
class A:
    def __init__(self):
        self.n = 0
    def up(self):
        self.n += 1
        return self.n
a = A()
step = a.up
step()
# %%
roll(5)
print(rolls, text(), step(), a.n, randint(1, 10**9))
