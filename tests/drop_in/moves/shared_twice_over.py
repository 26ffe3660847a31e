# moves
# %%
pair, twin = (), []
for _ in range(60):
    pair, twin = (pair, pair), [twin, twin]
# %%
depth = 0
while twin:
    assert twin[0] is twin[1]
    twin, depth = twin[0], depth + 1
depth
