# moves: began
# %%
import collections, dataclasses, typing
class Point(typing.NamedTuple):
    x: float = 1.5
Pair = collections.namedtuple("Pair", "a b", defaults=[2])
@dataclasses.dataclass
class Data:
    x: int = 3
    y: list = dataclasses.field(default_factory=list)
# %%
# impure
import time
began = time.time()
# %%
Point(), Pair(1), Data(), began
