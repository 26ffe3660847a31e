#: memory, caught broadly
xs = []
try:
    while len(xs) >= 0:
        xs.append(bytearray(100000))
except Exception:
    pass
print(len(xs))
#: memory, caught by nothing in particular
xs = []
try:
    for i in range(9000000):
        xs.append(str(i) * 50)
except:
    print(len(xs))
#: memory, at last
xs = []
def f():
    try:
        for i in range(9000000):
            xs.append(str(i) * 50)
    finally:
        return len(xs)
print(f())
#: memory, at last, by another exception
xs = []
try:
    try:
        for i in range(9000000):
            xs.append(str(i) * 50)
    finally:
        {}["a"]
except KeyError:
    print(len(xs))
#: memory, by its name
xs = []
try:
    for i in range(9000000):
        xs.append(str(i) * 50)
except MemoryError:
    print(len(xs))
#: the stack, by its name
def f(n):
    try:
        return f(n + 1)
    except RecursionError:
        return n
print(f(0))
#: the stack, by its base
def f(n):
    try:
        return f(n + 1)
    except RuntimeError:
        return n
print(f(0))
#: the stack, among others
def f(n):
    try:
        return f(n + 1)
    except (ValueError, Exception):
        return n
print(f(0))
#: the stack, in a name
kinds = Exception
def f(n):
    try:
        return f(n + 1)
    except kinds:
        return n
print(f(0))
#: memory, one step at a time
n = 0
s = "x"
try:
    for i in range(100000):
        s = s + s[: len(s) // 100 + 1]
        n += 1
except Exception as e:
    print(type(e))
print(n)
#: memory, outside of what is tried
xs = []
s = ",".join(["a"] * 100000)
for i in range(100000):
    try:
        parts = s.split(",")
    except Exception:
        break
    xs.append(i)
    xs.append(parts)
print(len(xs))
#: memory, by a context that swallows
class Quiet:
    def __repr__(self): return "Quiet"
    def __enter__(self): return 1
    def __exit__(self, *args): return True
xs = []
with Quiet():
    for i in range(9000000):
        xs.append(str(i) * 50)
print(len(xs))
#: memory, suppressed
import contextlib
xs = []
with contextlib.suppress(Exception):
    for i in range(9000000):
        xs.append(str(i) * 50)
print(len(xs))
#: memory, in a generator that is closed
xs = []
def g():
    try:
        yield 1
    finally:
        print(len(xs))
for x in g():
    for i in range(9000000):
        xs.append(str(i) * 50)
#: the stack, without a loop
def f(n):
    try:
        return 1 + f(n + 1)
    except:
        return 1
print(f(0))
#: the stack, by two functions
def g(n):
    return f(n - 1)
def f(n):
    try:
        return g(n)
    except:
        return n
print(f(0))
#: an array that is too large, found by halving
import numpy as np
low, high = 0, 10**12
while high - low > 1000:
    middle = (low + high) // 2
    try:
        np.ones(middle)
        low = middle
    except Exception:
        high = middle
print(low)
#: an operating system's own
try:
    xs = [bytearray(10**6) for i in range(5000)]
except OSError:
    print(1)
except EnvironmentError:
    print(2)
#: groups of exceptions
xs = []
try:
    for i in range(9000000):
        xs.append(str(i) * 50)
except* Exception:
    print(len(xs))
