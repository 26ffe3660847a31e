# moves: timed
# %%
import functools, time
def measured(f):
    spent = []
    @functools.wraps(f)
    def inner(*a):
        spent.append(time.time())
        inner.calls += 1
        return f(*a), list(spent)
    inner.calls = 0
    return inner
@measured
def timed(n):
    return n
# %%
# impure
timed(1), timed(2)
# %%
import builtins
result = timed.__closure__
print(timed.calls, [cell.cell_contents for cell in result if isinstance(cell.cell_contents, list)])
