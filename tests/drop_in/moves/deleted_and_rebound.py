# moves
# %%
a, b, c = 1, 2, 3
def f():
    return 1
# %%
del b
a = "one"
g = f
f = None
# %%
print(a, c, g(), f, "b" in globals())
