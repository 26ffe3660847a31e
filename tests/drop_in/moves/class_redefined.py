# moves
# %%
class Point:
    def __init__(self, x):
        self.x = x
    def where(self):
        return "old", self.x
old = Point(1)
# %%
class Point:
    def __init__(self, x):
        self.x = x
    def where(self):
        return "new", self.x
new = Point(2)
# %%
print(old.where(), new.where(), isinstance(old, Point), type(old) is type(new))
