# moves
# %%
words = "the quick brown fox jumps over the lazy dog".split()
unique = list(set(words))
index = {word: i for i, word in enumerate(set(words))}
bag = {frozenset({"a", "b"}), frozenset({"c"}), ("x", 1), 5, "s", None}
# %%
print(unique, index, sorted(map(str, map(type, bag))), frozenset("ab") in bag)
