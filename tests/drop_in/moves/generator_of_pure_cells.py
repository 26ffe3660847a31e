# moves
# %%
def numbers():
    n = 0
    while True:
        yield n
        n += 1
g = numbers()
# %%
next(g), next(g)
# %%
squares = (n * n for n in range(10))
next(squares)
# %%
next(g), next(squares), list(squares)
