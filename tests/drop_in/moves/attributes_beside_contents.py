# fails: cell 2: it came out different
# %%
import collections, random
class Tally(collections.Counter):
    pass
# %%
tally = Tally("ab")
# %%
# impure
tally.weight = random.random()
# %%
tally.weight
