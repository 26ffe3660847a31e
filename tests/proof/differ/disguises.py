#: a view of a mapping becomes a set
k = {'a': 1, 'b': 2}.keys()
k |= []
print([x for x in k])
#: a view of a mapping becomes a set, elements of pairs
k = {'a': 1, 'b': 2}.items()
k ^= []
print([x for x in k])
#: a view of a mapping becomes a set through another name
def joined(k):
    k &= ['a', 'b']
    return [x for x in k]
print(joined({'a': 1, 'b': 2}.keys()))
#: an operator of a module makes a set of a view
import operator
print([x for x in operator.or_({'a': 1, 'b': 2}.keys(), [])])
#: an operator of a module makes a set of a view by taking away
import operator
print([x for x in operator.sub({'a': 1, 'b': 2}.keys(), [])])
#: a number that is not whole comes of an assignment
x = 3
x /= 2
for i in range(12): x *= x
n = x - x
print(sorted({n, 1}))
#: a number that is not whole comes of a time
import datetime
n = datetime.timedelta(seconds=1).total_seconds()
for i in range(2): n = n * n * 10 ** 300
n = n - n
print(sorted({n, 1}))
#: a name is a function in one place and a text in another
import pandas as pd
f = lambda x: x
f = 'sample'
print(pd.Series(range(2)).agg(f).tolist())
#: a name is a function in one place and runs over texts in another
import pandas as pd
def f(x): return x
for f in ['sample']: print(pd.Series(range(2)).agg(f).tolist())
#: a name is a function in one place and a parameter in another
import pandas as pd
def f(x): return x
def g(f): return pd.Series(range(2)).agg([f]).values.tolist()
print(g('sample'))
#: an attribute names the method
import pandas as pd
s = pd.Series(range(2), name='sample')
print(s.agg(s.name).tolist())
#: an attribute names the method for a column
import pandas as pd
s = pd.Series(range(2), name='sample')
print(s.to_frame().agg({'sample': s.name}).values.tolist())
#: self is a mapping
class A:
    def __init__(self): self.keys = 1
    def __repr__(self): return 'A'
self = {'a': 1, 'b': 2}
k = self.keys
print(k() & ['a', 'b'])
#: self is the parameter of a function
import pandas as pd
class A:
    def __init__(self): self.sample = 1
def f(self): return self.sample
print(f(pd.Series(range(3)))(1).tolist())
#: a method is called on something else
class A:
    def __init__(self): self.upper = 1
    def show(self): return str(self.upper)
print(A.show('x')[-6:-1])
#: a pattern reads methods that a class names
class A(str):
    __match_args__ = ('__format__',)
    def __repr__(self): return 'A'
match A('x'):
    case A(m): print(str(m)[-7:-1])
#: a copy tells where objects are
import copy
class A:
    def __repr__(self): return 'A'
    def __deepcopy__(self, memo): return [k // 64 % 2 for k in memo]
print(copy.deepcopy([A()]))
#: a copy keeps where objects are
import copy
m = {}
copy.deepcopy([[1]], m)
print(list(m)[0] // 64 % 2)
#: kinds of numbers are brought together
import statistics
class I(float):
    def __repr__(self): return 'I'
class J(float):
    def __repr__(self): return 'J'
try: print(statistics.variance([I(1), J(2)]))
except TypeError as e: print(e)
#: a builtin that makes numbers is another
def range(x): return [1, 'a', 'b', 2]
try: max(set(range(6)))
except TypeError as e: print(e)
#: an array of dates reads a text
import numpy as np, datetime
d = np.arange(datetime.date(2020, 1, 1), datetime.date(2020, 1, 4))
print(np.array(["to" + "day"]).astype(d.dtype))
#: a buffer is a path
import pandas as pd
def StringIO(p): return p
print(pd.read_csv(StringIO('/proc/uptime'), sep='z').shape)
#: a pattern reads a method under a name that a class has too
class A:
    def __init__(self): self.upper = 1
match 'a':
    case str(upper=m): print(str(m)[-8:-1])
