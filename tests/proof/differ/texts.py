#: a parent's own text
class A:
    def __repr__(self):
        return f"{super()!r}"
print(A())
#: a text that is taken back
class A:
    def __repr__(self): return "A"
    del __repr__
print(A())
#: a text that is taken back later
class A:
    def __repr__(self): return "A"
del A.__repr__
print(A())
#: a text in a branch
class A:
    if 0:
        def __repr__(self): return "A"
print(A())
#: a dataclass without a text
from dataclasses import dataclass
@dataclass(repr=False)
class A:
    x: int
print(A(1))
#: a dataclass without a text, by keywords that are not written here
from dataclasses import dataclass
@dataclass(**{"repr": False})
class A:
    x: int
print(A(1))
#: a dataclass that is something else
from dataclasses import dataclass
def dataclass(c): return c
@dataclass
class A:
    x: int
print(A())
#: a field without a dataclass
from dataclasses import field
class A:
    x: int = field(default=1)
    def __repr__(self): return "A"
print(A().x)
#: a field in a subclass without one
from dataclasses import dataclass, field
@dataclass
class A:
    x: int
class B(A):
    y: int = field(default=1)
print(B(1).y)
#: a field in a field
from dataclasses import dataclass, field
@dataclass
class A:
    x: tuple = (field(),)
print(A())
#: a value that is to be chosen
from enum import auto
print(auto())
#: a value that is to be chosen in a class of another kind
import enum
class A:
    x = enum.auto()
    def __repr__(self): return "A"
print(A.x)
#: a property of a class
class A:
    @property
    def x(self): return 1
    def __repr__(self): return "A"
print(A.x)
#: a property of a class by another name
class A:
    @property
    def x(self): return 1
    def __repr__(self): return "A"
def f(c): return c.x
print(f(A))
#: a property of a class in a list
class A:
    @property
    def x(self): return 1
    def __repr__(self): return "A"
for c in [A]:
    print(c.x)
#: a property of the class of an object
class A:
    @property
    def x(self): return 1
    def __repr__(self): return "A"
print(type(A()).x, A().__class__.x)
#: a property of a class in a class method
class A:
    @property
    def x(self): return 1
    @classmethod
    def f(c): return c.x
    def __repr__(self): return "A"
print(A.f())
#: a property of the class of a number
from fractions import Fraction
k = type(Fraction(1, 2))
print(k.numerator)
#: a property of the class of a table
import pandas as pd
print(type(pd.DataFrame()).T)
#: a property of a table's class in a name
import pandas as pd
c = pd.DataFrame
print(c.T, c.index)
#: a class that is made by the class of classes
k = type(int)
print(k("X", (), {})())
#: a class that is made by a class's class
k = int.__class__
print(k("X", (), {})())
#: a class that is made by another name
t = type
print(t("X", (), {})())
#: a class that is made on the spot
print(type(int)("X", (), {})())
#: a builtin of the place where it runs
print(print, input, exit)
#: in a list
x = [print]
print(x)
#: a stream
import sys
print(sys.stdout)
#: a stream in a name
import sys
s = sys.stderr
print(s)
#: a reader of a table
import io
import pandas as pd
print(pd.read_csv(io.StringIO("a\n1"), chunksize=1))
#: a bound method
class A:
    def __repr__(self): return "A"
    def f(self): return 1
print("".join([str(A().f)]), "a".upper)
#: a function in a container
def f(): pass
print({"f": f}, (f,), [f])
#: a function in an exception
def f(): pass
print(ValueError(f))
#: a function in a namespace
import types
def f(): pass
print(types.SimpleNamespace(f=f))
#: a function in a format
def f(): pass
print("%r" % f, f"{f}", "{}".format(f))
#: a generator
print((x for x in [1]))
#: a weak reference
import weakref
class A:
    def __repr__(self): return "A"
a = A()
print(weakref.ref(a))
#: an enumeration of functions
from enum import Enum
class E(Enum):
    A = (lambda: 1,)
print(E.A)
#: what cannot be compared, in an order of addresses
import pprint
pprint.pprint({1j: 1, 2j: 2, 3j: 3, 4j: 4})
#: what holds itself
from pprint import pformat
x = []
x.append(x)
print(pformat(x))
#: the last value
def f(): pass
f
#: the last value of a class without a text
class A:
    pass
A()
#: an object's number
print(id(1), hash("a"))
#: a text of the interpreter
print(__import__("gc").get_objects()[0])
#: a warning
import warnings
warnings.warn("x")
#: a traceback
import traceback
print(traceback.format_stack())
#: a property under another name
class A:
    @property
    def x(self): return 1
    y = x
    def __repr__(self): return "A"
print(A.y)
#: what an enumeration keeps for itself
from enum import Enum
class A:
    def __init__(self): self._new_member_ = 1
    def __repr__(self): return "A"
class E(Enum):
    X = 1
print(E._new_member_)
