# %%
# error: ZeroDivisionError: division by zero
x = 1
y = x / 0
z = 3
# %%
# error: NameError: name 'y' is not defined
y
# %%
# none
def f(n):
    return n / 0
# %%
# error: ZeroDivisionError: division by zero
f(1)
# %%
# text: "1"
x
# %%
# error: KeyError: 'k'
{}["k"]
# %%
# error: Mine: told by itself
class Mine(Exception):
    def __str__(self):
        return "told by itself"
raise Mine(1)
# %%
# error: ValueError: 
raise ValueError
# %%
# error: RuntimeError: again
try:
    f(1)
except ZeroDivisionError as error:
    raise RuntimeError("again") from error
# %%
# error: ZeroDivisionError: division by zero
# stdout: "before\n"
print("before")
f(2)
# %%
# error: RecursionError: maximum recursion depth exceeded
def deep(n): return deep(n + 1)
deep(0)
# %%
# error: AssertionError: not two
assert x == 2, "not two"
# %%
# error: ZeroDivisionError: division by zero
[f(i) for i in range(3)]
# %%
# error: JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)
import json
json.loads("{")
# %%
# error: ExceptionGroup: several (1 sub-exception)
raise ExceptionGroup("several", [ValueError(1)])
