# fails: cell 2: it came out different
# %%
import random, typing
# %%
# impure
class Point(typing.NamedTuple):
    x: float = random.random()
# %%
Point()
