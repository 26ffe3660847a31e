# moves
# %%
from functools import cache, lru_cache, partial, reduce, wraps, singledispatch
@lru_cache(maxsize=None)
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
@cache
def cube(n):
    return n ** 3
def logged(f):
    @wraps(f)
    def inner(*a):
        inner.calls += 1
        return f(*a)
    inner.calls = 0
    return inner
@logged
def half(n):
    return n / 2
@singledispatch
def show(x):
    return "thing"
@show.register
def _(x: int):
    return "int"
power = partial(pow, 2)
# %%
fib(30), cube(3), half(8)
# %%
print(fib(31), cube(4), half(2), half.calls, power(5), show(1), show("s"))
