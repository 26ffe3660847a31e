# %%
# text: "[0,\n 1,\n 2,\n 3,\n 4,\n 5,\n 6,\n 7,\n 8,\n 9,\n 10,\n 11,\n 12,\n 13,\n 14,\n 15,\n 16,\n 17,\n 18,\n 19,\n 20,\n 21,\n 22,\n 23,\n 24,\n 25,\n 26,\n 27,\n 28,\n 29]"
list(range(30))
# %%
# text: "[0,\n 1,\n 2,\n 3,\n 4,\n 5,\n 6,\n 7,\n 8,\n 9,\n 10,\n 11,\n 12,\n 13,\n 14,\n 15,\n 16,\n 17,\n 18,\n 19,\n 20,\n 21,\n 22,\n 23,\n 24,\n 25]"
list(range(26))
# %%
# text: "{'name': 'Ada',\n 'born': 1815,\n 'works': ['Notes on the Analytical Engine', 'Letters'],\n 'alive': False}"
{"name": "Ada", "born": 1815, "works": ["Notes on the Analytical Engine", "Letters"], "alive": False}
# %%
# text: "({1, 2, 3}, frozenset({'a', 'b', 'c'}), set(), frozenset())"
{3, 1, 2}, frozenset("cab"), set(), frozenset()
# %%
# text: "[{'a': 1, 'b': [1, 2, {'c': (1,)}]},\n {'a': 1, 'b': [1, 2, {'c': (1,)}]},\n {'a': 1, 'b': [1, 2, {'c': (1,)}]}]"
[{"a": 1, "b": [1, 2, {"c": (1,)}]}] * 3
# %%
# text: "((1,), (), [[]], {})"
(1,), (), [[]], {}
# %%
# text: "[1, [...]]"
a = [1]
a.append(a)
a
# %%
# text: "(Counter({'i': 4, 's': 4, 'p': 2, 'm': 1}),\n OrderedDict([('a', 1)]),\n deque([1, 2], maxlen=3))"
import collections
collections.Counter("mississippi"), collections.OrderedDict(a=1), collections.deque([1, 2], maxlen=3)
# %%
# text: "defaultdict(list,\n            {'k': [1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1,\n              1]})"
collections.defaultdict(list, {"k": [1] * 30})
# %%
# text: "(namespace(x=1, y='two'), mappingproxy({'k': 1}))"
import types
types.SimpleNamespace(x=1, y="two"), types.MappingProxyType({"k": 1})
# %%
# text: "['xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',\n 'yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy']"
["x" * 40, "y" * 40]
# %%
# text: "(14, '[0, 1, 2,')"
len(str(range(2000))), str(list(range(1500)))[:9]
# %%
# text: "(999, 1000, 1001, 1002, 1003, 1004)"
tuple(range(1005))[-6:]
# %%
# text: "{'a': 0,\n 'b': 0,\n 'c': 0,\n 'd': 0,\n 'e': 0,\n 'f': 0,\n 'g': 0,\n 'h': 0,\n 'i': 0,\n 'j': 0,\n 'k': 0,\n 'l': 0,\n 'm': 0,\n 'n': 0,\n 'o': 0,\n 'p': 0,\n 'q': 0,\n 'r': 0,\n 's': 0,\n 't': 0,\n 'u': 0,\n 'v': 0,\n 'w': 0,\n 'x': 0,\n 'y': 0,\n 'z': 0}"
dict.fromkeys("abcdefghijklmnopqrstuvwxyz", 0)
# %%
# text: "[Point(x=1, y=2), Point(x=1, y=2)]"
Point = collections.namedtuple("Point", "x y")
[Point(1, 2)] * 2
# %%
# text: "[1.5, 1e+100, nan, True, None, b'x', 2j, range(0, 3), Ellipsis]"
[1.5, 1e100, float("nan"), True, None, b"x", 2j, range(3), ...]
