# moves
# %%
# impure
import time
began = time.time()
numbers = (n for n in range(3))
total = sum(numbers)
def count():
    yield 1
counted = count()
ones = list(counted)
pairs = zip([1, 2], "ab")
listed = dict(pairs)
mapped = map(str, [1, 2])
texts = list(mapped)
kept = filter(None, [0, 1])
truths = list(kept)
walked = enumerate(["a"])
for place, item in walked:
    pass
back = reversed([1, 2])
lines = iter(["a", "b"])
first = next(lines)
# %%
[list(each) for each in (numbers, counted, pairs, mapped, kept, walked, back, lines)], total, listed, counted.__name__
