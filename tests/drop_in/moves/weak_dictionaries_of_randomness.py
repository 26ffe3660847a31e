# moves: things, by_name, by_thing
# %%
import random, weakref
class Thing:
    def __init__(self):
        self.weight = random.random()
# %%
# impure
things = [Thing(), Thing()]
by_name = weakref.WeakValueDictionary(one=things[0])
by_thing = weakref.WeakKeyDictionary({things[1]: random.random()})
either = weakref.WeakSet(things)
# %%
by_name["one"] is things[0], by_thing[things[1]], len(either), things[0] in either, things[0].weight
