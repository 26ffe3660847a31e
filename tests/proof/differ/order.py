#: a set
print({"a", "b"}, set("abc"))
#: sorted by a key that is not written here
print(sorted({"ab", "cd", "ef"}, **{"key": len}))
#: sorted by an order of the program's own
class P:
    def __init__(self, n, t):
        self.n = n
        self.t = t
    def __lt__(self, other): return self.n < other.n
    def __repr__(self): return self.t
print(sorted({P(1, "a"), P(1, "b"), P(1, "c")}))
#: sorted by some of its fields
from dataclasses import dataclass, field
@dataclass(order=True, unsafe_hash=True)
class P:
    n: int
    t: str = field(compare=False, hash=True)
print(sorted({P(1, "a"), P(1, "b"), P(1, "c")}))
#: an end of what cannot all be compared
print(min({(0, 0), (1, "a"), (1, 2)}))
#: an end of what cannot all be compared, in a name
s = {(0, 0), (1, "a"), (1, 2)}
print(max(s))
#: what cannot be compared is named
try:
    sorted({"a", 1, 2})
except TypeError as e:
    print(e)
#: a number without an order
x = float("inf")
print(sorted({x - x, 2.0, 1.0, 3.0}))
#: a number without an order, made of large ones
x = 1e308 * 10
print(sorted({x - x, 2.0, 1.0, 3.0}))
#: a number without an order, in a name
x = 1e308 * 10
s = {x - x, 2.0, 1.0, 3.0}
print(sorted(s))
#: what says itself whether it is true
class A:
    def __init__(self, n): self.n = n
    def __repr__(self): return "A"
    def __bool__(self):
        print(self.n)
        return False
any({A(1), A(2), A(3)})
#: a dictionary of a set
print(dict.fromkeys({"a", "b"}), list({"a", "b"}))
#: a table of a set
import pandas as pd
print(pd.Series(list({"a", "b"})).unique())
#: an array of a set
import numpy as np
print(np.unique(["b", "a"], sorted=False))
#: a set that a library makes
import pandas as pd
print(pd.DataFrame({"a": ["x", "y"], "b": [1, 1]}).groupby("b")["a"].agg(set))
#: names of a symbol
from sympy import symbols
x, y = symbols("x y")
print((x + y).free_symbols)
#: an end of either of two
s = {(0, 0), (1, "a"), (1, 2)}
print(min(s or ()), min(s if s else ()))
