# moves
# %%
# impure
import time
began = time.time()
import functools, operator
add = functools.partial(operator.add, 2)
@functools.lru_cache(maxsize=None)
def square(n):
    return n * n
square(3)
class Table:
    @functools.cached_property
    def size(self):
        return 3
table = Table()
table.size
first = operator.itemgetter("a")
@functools.singledispatch
def show(value):
    return "any"
@show.register
def _(value: int):
    return "int"
# %%
add(3), square(4), table.size, first({"a": 1}), show(1), show("a")
