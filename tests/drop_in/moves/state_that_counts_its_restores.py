# moves: one, Counted
# %%
import random
class Counted:
    restored = 0
    def __setstate__(self, state):
        Counted.restored += 1
        self.__dict__.update(state)
one = Counted()
# %%
# impure
one.weight = random.random()
# %%
Counted.restored, one.weight
