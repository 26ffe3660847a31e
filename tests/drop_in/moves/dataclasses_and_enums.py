# moves: stamped
# %%
import time
from dataclasses import dataclass, field
from enum import Enum, Flag, IntEnum, auto
from typing import NamedTuple, Optional
from collections import namedtuple
@dataclass(order=True)
class Item:
    name: str
    price: float = 1.5
    tags: list = field(default_factory=list)
@dataclass(frozen=True)
class Key:
    a: int
    b: Optional[str] = None
class Color(Enum):
    RED = 1
    BLUE = "b"
    def upper(self):
        return self.name.upper()
class Mode(Flag):
    R = auto()
    W = auto()
class Level(IntEnum):
    LOW = 1
class Pair(NamedTuple):
    left: int
    right: int = 2
Old = namedtuple("Old", "p q")
# %%
items = [Item("a"), Item("b", 2, ["x"])]
keys = {Key(1): Color.RED, Key(2, "z"): Color.BLUE}
both, pair, old, level = Mode.R | Mode.W, Pair(1), Old(3, 4), Level.LOW
# %%
# impure
stamped = Item("t", time.time(), [Color.RED])
# %%
print(items, keys, both == Mode.R | Mode.W, pair, old, level == 1, stamped, stamped.tags[0] is Color.RED)
print(keys[Key(1)], Color.BLUE.upper(), sorted(items)[0].name, isinstance(pair, Pair))
