# fails: cell 1: not the same object
# %%
# impure
import time
class Point:
    def where(self):
        return "old", self.x
old = Point()
old.x = time.time()
# %%
class Point:
    pass
# %%
1
