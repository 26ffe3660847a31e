# moves: mine.stamp
# %%
with open("mine.py", "w") as out:
    out.write("import time\ncount = 0\nitems = []\nstamp = None\ndef up():\n    global count\n    count += 1\n"
              "def mark():\n    global stamp\n    stamp = time.time()\nclass Thing:\n    pass\n")
# %%
import mine
from mine import items, Thing
mine.up()
mine.up()
items.append(5)
thing = Thing()
thing.items = items
# %%
# impure
mine.mark()
# %%
print(mine.count, mine.items is items, thing.items is mine.items, mine.stamp, isinstance(thing, mine.Thing))
