# moves
# %%
class Tag:
    def __init__(self, name):
        self.name = name
    def __hash__(self):
        return hash(self.name)
    def __eq__(self, other):
        return self.name == other.name
tags = {Tag(name) for name in "abcdef"}
sets = {frozenset({1, "x"}), frozenset({(1, "y"), None}), frozenset()}
by_tag = {frozenset({"p", "q"}): {"r", "s"}}
# %%
print(sorted(tag.name for tag in tags), Tag("a") in tags, frozenset({"x", 1}) in sets, sorted(by_tag[frozenset("pq")]))
