# moves
# %%
def f(n=[0]):
    n[0] += 1
    return n[0]
# %%
first = f
first()
# %%
def f(n=[0]):
    n[0] += 1
    return n[0]
# %%
print(first(), f(), first is f)
