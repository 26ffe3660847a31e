# moves
# %%
a, b, c = 1, 2.5, "text"
big = 7 ** 400
data = {"list": [1, 2, [3, 4]], "none": None, "bytes": b"\x00\xff", "nested": {"x": (1, 2, ("y",))}}
nothing = float("nan")
empty = [[], {}, (), set(), frozenset(), "", b""]
# %%
total = sum(range(10))
total
# %%
print(a, b, c, big % 1000003, data, nothing, empty, total, _, Out)
sorted(name for name in globals() if not name.startswith("_"))[:3] and data
