# fails: cell 1: math.kept holds it too
# %%
import math, random
kept = []
vars(math)["kept"] = kept
# %%
# impure
kept.append(random.random())
# %%
math.kept is kept
