# moves
# %%
a = []
b = [a, a]
c = {"a": a}
# %%
a.append(1)
# %%
a.append(2)
print(a, b, c, b[0] is a, b[1] is a, c["a"] is a)
