#: words
words = "a b a".split()
print(sorted(set(words)), len(set(words)), "a" in set(words))
#: whole numbers
print(sorted({3, 1, 2}), max(set(range(4))), sorted({len(w) for w in ["a", "bb"]}))
#: a class
class P:
    def __init__(self, x):
        self.x = x
    def __repr__(self):
        return f"P({self.x})"
    def __eq__(self, other):
        return self.x == other.x
class Q(P):
    def __init__(self, x, y):
        super().__init__(x)
        self.y = y
    def twice(self):
        return Q(2 * self.x, 2 * self.y)
print(P(1), Q(1, 2).twice(), P(1) == P(1))
#: a property
class P:
    def __init__(self, x):
        self._x = x
    def __repr__(self):
        return "P"
    @property
    def x(self):
        return self._x
print(P(1).x, [P(2)])
#: a dataclass
from dataclasses import dataclass, field
@dataclass(frozen=True)
class P:
    x: int
    tags: tuple = field(default_factory=tuple)
print(P(1), P(1) == P(1))
#: an enumeration
from enum import Enum, auto
class C(Enum):
    RED = auto()
    BLUE = auto()
print(C.RED, list(C), C.BLUE.value)
#: the name of a class
class P:
    def __repr__(self):
        return type(self).__name__
print(P(), type(1), f"{type('a')}", type(1) == int, P().__class__.__name__)
#: a narrow handler
def f(x):
    try:
        return 10 / int(x)
    except (ValueError, ZeroDivisionError) as e:
        return str(e)
print(f("a"), f("0"), f("2"))
#: an exception of its own
class Mine(Exception):
    pass
def f(n):
    if n > 1:
        raise Mine("too many")
    return n
for n in range(3):
    try:
        print(f(n))
    except Mine as e:
        print("caught", e)
#: a broad handler of what is plain
def f(text):
    try:
        month, day = text.split("-")
        if int(month) > 12:
            return False
    except:
        return False
    return True
print(f("1-2"), f("13-1"), f("x"))
#: a handler that passes on
import json
def f(text):
    try:
        return [x * 2 for x in json.loads(text)]
    except Exception as e:
        raise e
print(f("[1, 2]"))
#: a generator, used up
def evens(n):
    for i in range(n):
        yield 2 * i
print(list(evens(5)), sum(evens(3)))
#: a seed
import random
def draw(n):
    return [random.random() for _ in range(n)]
if __name__ == "__main__":
    random.seed(42)
    print(draw(3), random.choice("abc"))
#: a generator of its own
import random
r = random.Random(7)
print(r.random(), r.randint(1, 6))
#: standard streams
import sys
print("a", file=sys.stderr)
sys.stdout.write("b\n")
#: a buffer
import io
b = io.StringIO()
print("a", file=b)
b.write("c")
print(b.getvalue())
#: a digest
import hashlib
print(hashlib.sha256("x".encode()).hexdigest(), bytes([1, 2]))
#: formats
print("{:>5}|{:.2f}".format("a", 1.5), "%d %s" % (1, "a"), list(map("{:03d}".format, [1, 2])))
