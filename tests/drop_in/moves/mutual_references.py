# moves: left, right
# %%
import time
class Side:
    def __init__(self, name):
        self.name, self.other, self.made = name, None, time.time()
# %%
# impure
left, right = Side("left"), Side("right")
left.other, right.other = right, left
both = (left, right)
# %%
print(left.other is right, right.other is left, both[0] is left, left.made, type(both[1]) is Side)
