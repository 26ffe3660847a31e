"""Programs that warm the interpreter up while the snapshot is made, so that no sandbox does that work again."""

from __future__ import annotations

PROGRAMS = [
    "print(sum(range(1000)))",
    "1 + 1",
    """
import math
class A:
    def __init__(self, x):
        self.x = x
d = {k: v for k, v in zip("abc", [A(1), A(2)])}
print(f"{math.pi:.3f}", d["a"].x, sorted(d), [i * i for i in range(10)])
""",
    """
def f(n):
    return n if n < 2 else f(n - 1) + f(n - 2)
print(f(10))
1 / 0
""",
    "x = (",
    "undefined_name",
    """
import json, re, decimal, fractions, statistics, datetime, collections, itertools
print(json.dumps({"a": [1, 2.5]}), re.sub(r"(\\d+)", r"<\\1>", "a1b22"), decimal.Decimal("0.1") + 1)
print(fractions.Fraction(1, 3), statistics.mean([1, 2, 3]), datetime.date(2024, 1, 1).strftime("%A"))
print(collections.Counter("abca"))
""",
    """
with open("notes.txt", "w") as out:
    out.write("one\\ntwo\\n")
for line in open("notes.txt"):
    print(line.strip())
""",
    """
from sympy import *
x = symbols("x")
print(integrate(x**2 * sin(x), x), solve(x**2 - 2, x), diff(exp(x) / x, x))
print(simplify(sin(x)**2 + cos(x)**2), limit(sin(x) / x, x, 0), series(exp(x), x, 0, 4))
""",
]


class Cell:
    """A cell as the host passes it."""

    environment, folder, has_stdin, changes = (), None, False, ()

    def __init__(self, code: str, number: int) -> None:
        self.code, self.number = code, number


CELLS = [
    "x = 1",
    "x + 1",
    "print('hello')\n[x, 'two', 3.0]",
    """
import math, json

def f(n):
    return n / 0

class A:
    pass

{'a': list(range(40)), 'b': (1, A), 'c': {3, 1}}
""",
    "f(1)",
    "try:\n    f(2)\nexcept ZeroDivisionError as error:\n    raise ValueError('x') from error",
    "import asyncio\nawait asyncio.sleep(0)\nf",
    "x = (",
    "nowhere",
    "with open('notes.txt', 'w') as out:\n    out.write('one')\nopen('notes.txt').read();",
    "%matplotlib inline\nA()",
    "display(ValueError(1)); str(A)",
    "raise SystemExit(3)",
]
