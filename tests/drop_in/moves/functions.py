# moves
# %%
def add(a, b=2, *, c=[3]):
    """Adds."""
    return a + b + c[0]
square = lambda n: n * n
def outer(n):
    def inner(m):
        return n + m
    return inner
plus = outer(5)
table = {"add": add, "square": square, "plus": plus}
# %%
add.calls = 3
# %%
print(add(1), square(4), plus(2), add.calls, add.__doc__, {name: f(2) for name, f in table.items()})
table["add"] is add
