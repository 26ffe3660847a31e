# moves
# %%
a = 1
# %%
b = (
# %%
c = a + 1
# %%
print(a, c, "b" in globals())
