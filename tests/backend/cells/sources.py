# %%
# none
import inspect
def f(a):
    # a comment
    return a + 1
# %%
# text: "'def f(a):\\n    # a comment\\n    return a + 1\\n'"
inspect.getsource(f)
# %%
# none
# stdout: "def f(a):\n    # a comment\n    return a + 1\n\n"
print(inspect.getsource(f))
# %%
# none
from dataclasses import dataclass
@dataclass
class D:
    x: int = 3
# %%
# text: "(D(x=3), True)"
D(), D(4) == D(4)
# %%
# text: "D(x=5)"
import pickle
pickle.loads(pickle.dumps(D(5)))
# %%
# text: "('__main__', '__main__', 'f')"
D.__module__, f.__module__, f.__qualname__
# %%
# none
exec("y = 5")
# %%
# text: "5"
y
# %%
# text: "3"
eval("y + 1", {"y": 2})
# %%
# error: SyntaxError: invalid syntax (<text>, line 1)
compile("1 +", "<text>", "eval")
