# moves
# %%
import itertools
it = iter([1, 2, 3, 4])
counter = itertools.count(5)
pairs = zip("abc", range(3))
lines = enumerate(["x", "y", "z"])
cycle = itertools.cycle("ab")
evens = filter(lambda n: n % 2 == 0, range(20))
# %%
next(it), next(counter), next(pairs), next(lines), next(cycle), next(evens), next(evens)
# %%
next(it), next(counter), next(pairs), next(lines), next(cycle), next(evens)
