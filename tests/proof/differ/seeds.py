#: a short circuit
import random
0 and random.seed(0)
print(random.random())
#: the other one
import random
1 or random.seed(0)
print(random.random())
#: a conditional expression
import random
random.seed(0) if 0 else None
print(random.random())
#: a chained comparison
import random
1 < 0 < (random.seed(0) or 1)
print(random.random())
#: a comprehension without a round
import random
[random.seed(0) for _ in ()]
print(random.random())
#: a generator that nobody runs
import random
(random.seed(0) for _ in (1,))
print(random.random())
#: a lambda that nobody calls
import random
f = lambda: random.seed(0)
print(random.random())
#: the default of an argument of a function in a branch
import random
if 0:
    def f(x=random.seed(0)): return x
print(random.random())
#: an assertion, which -O leaves out
import random
assert random.seed(0) is None
print(random.random())
#: the message of an assertion that holds
import random
assert 1, random.seed(0)
print(random.random())
#: the end of a loop that is left
import random
for x in [1]:
    break
else:
    random.seed(0)
print(random.random())
#: the end of another
import random
while True:
    break
else:
    random.seed(0)
print(random.random())
#: a loop without a round
import random
for x in []:
    random.seed(0)
print(random.random())
#: the other branch of the main one
import random
if __name__ == "__main__":
    pass
else:
    random.seed(0)
print(random.random())
#: a name that is not the main one any more
import random
__name__ = "other"
if __name__ == "__main__":
    random.seed(0)
print(random.random())
#: a case that does not match
import random
match 1:
    case 2:
        random.seed(0)
print(random.random())
#: a guard of a case
import random
match 1:
    case 2 if random.seed(0) is None:
        pass
print(random.random())
#: a block whose context swallows
import random
class Quiet:
    def __repr__(self): return "Quiet"
    def __enter__(self): return 1
    def __exit__(self, *args): return True
with Quiet():
    [].pop()
    random.seed(0)
print(random.random())
#: a block that ended before
import random
try:
    [].pop()
    random.seed(0)
except IndexError:
    print("empty")
print(random.random())
#: a function that is never called
import random
def f():
    random.seed(0)
print(random.random())
#: a function that returns before
import random
def f():
    return 1
    random.seed(0)
f()
print(random.random())
#: a method
import random
class A:
    def __repr__(self): return "A"
    def f(self): random.seed(0)
print(random.random())
#: after the draw
import random
print(random.random())
random.seed(0)
#: among its own arguments
import random
random.seed(5, print(random.random()))
#: a draw in a function that a lambda calls before
import random
f = lambda: g()
def g(): return random.random()
print(f())
random.seed(0)
#: a draw in a function that a decorator calls
import random
def now(f): return f()
@now
def g(): return random.random()
random.seed(0)
print(g)
#: a draw in the default of an argument
import random
def f(x=random.random()): return x
random.seed(0)
print(f())
#: a draw in a class body
import random
class A:
    x = random.random()
    def __repr__(self): return "A"
random.seed(0)
print(A().x)
#: begun anew without one
import random
random.seed(0)
random.seed()
print(random.random())
#: another generator
import random
import numpy as np
random.seed(0)
print(np.random.rand())
#: the other way round
import random
import numpy as np
np.random.seed(0)
print(random.random())
#: the module is something else
import random
import random as r
class Not:
    def __repr__(self): return "Not"
    def seed(self, x): pass
random = Not()
random.seed(0)
print(r.random())
#: the function is something else
import random
from random import seed
def seed(x): pass
seed(0)
print(random.random())
#: a parameter hides it
import random
def f(random): return random.random()
random.seed(0)
print(f(random.Random()))
#: replaced
import random
random.seed = len
random.seed("0")
print(random.random())
#: a generator that begins anew
import random
r = random.Random(3)
r.__init__()
print(r.random())
#: a generator that begins anew by another
import numpy as np
def f(r): r.__init__()
print(np.random.default_rng(1).normal())
f(np.random.RandomState(1))
#: a seed from a name
import random
s = None
random.seed(s)
print(random.random())
#: a seed by a text of a module's member
import random
getattr(random, "se" + "ed")(0)
print(random.random())
#: something done on the way to a module
import math
print(getattr(math, "sqrt", print({"a", "b", "c"}))(4))
#: a model's own attribute
from sklearn.linear_model import Lasso
m = Lasso(alpha=0.1)
m.selection = "random"
print(m.fit([[1, 2], [2, 1], [3, 3]], [1, 2, 3]).coef_)
#: a model with a default that draws
from sklearn.linear_model import LogisticRegression
print(LogisticRegression(solver="saga").fit([[1], [2]], [0, 1]).coef_)
#: a split without one
from sklearn.model_selection import train_test_split
print(train_test_split([1, 2, 3], random_state=None))
#: a distribution
from scipy import stats
print(stats.norm(0, 1).rvs(3))
#: a resampling
from scipy import stats
print(stats.permutation_test(([1, 2], [3, 4]), lambda a, b: a.mean() - b.mean()))
#: an annealing
from scipy import optimize
print(optimize.dual_annealing(lambda x: x[0] ** 2, [(-1, 1)]).x)
#: a seed sequence
import numpy as np
print(np.random.SeedSequence().entropy)
#: names of temporary files
import tempfile
print(tempfile.mkdtemp())
#: a secret
import secrets
print(secrets.token_hex())
#: an identity
import uuid
print(uuid.uuid4())
