# moves
# %%
# impure
import time
began = time.time()
import collections, dataclasses, enum, typing
Point = collections.namedtuple("Point", "x y")
class Pair(typing.NamedTuple):
    a: float
    b: str = "b"
@dataclasses.dataclass
class Item:
    name: str
    at: float = dataclasses.field(default_factory=time.time)
    tags: list = dataclasses.field(default_factory=list)
class Color(enum.Enum):
    RED = 1
class Row(typing.TypedDict):
    a: int
items = [Item("a"), Item("b")]
point, pair, color, row = Point(began, 2), Pair(began), Color.RED, Row(a=1)
# %%
items[0].name, items[1].at >= began, point.x == began, pair.b, color is Color.RED, row, Color["RED"]
