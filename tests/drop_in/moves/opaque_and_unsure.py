# fails: cell 2: a cycle iterator
# %%
import itertools, random
# %%
# impure
picks = itertools.cycle([random.random(), 2])
# %%
next(picks)
