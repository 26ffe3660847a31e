# moves
# %%
class Counter:
    count = 0
    made = []
    def __init__(self, name):
        self.name = name
        Counter.count += 1
        Counter.made.append(name)
one, two = Counter("one"), Counter("two")
# %%
three = Counter("three")
# %%
print(Counter.count, Counter.made, isinstance(one, Counter), three.name)
