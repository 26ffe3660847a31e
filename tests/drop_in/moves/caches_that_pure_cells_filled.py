# moves: began
# %%
import functools
@functools.lru_cache
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
@functools.lru_cache(maxsize=2, typed=True)
def join(*parts, end="."):
    return [*parts, end]
class Table:
    @functools.cache
    def column(self, name):
        return [name]
table = Table()
# %%
fib(30), join(1), join(1, end="!"), join("a", "b"), table.column("x")
held = join("a", "b")
# %%
# impure
import time
began = time.time()
# %%
before = fib.cache_info(), join.cache_info(), table.column.cache_info()
before, fib(31), join("a", "b") is held, join(1), table.column("x"), fib.cache_info(), join.cache_info()
