# moves: f, Plain
# %%
import random
def f(a: "text", *, b=1):
    """Says
        what."""
    return a, b
def g():
    """Is not changed.

    At all.
    """
class Plain:
    """Is plain."""
# %%
# impure
f.__doc__ = f"one {random.random()}"
f.__annotations__["a"] = str(random.random())
f.__kwdefaults__ = {"b": random.random()}
f.__name__ = f"f{random.random()}"
Plain.__doc__ = str(random.random())
# %%
import inspect
f(1), f.__doc__, f.__annotations__, f.__name__, inspect.cleandoc(g.__doc__), Plain.__doc__
