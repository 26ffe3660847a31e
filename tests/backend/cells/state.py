# %%
# none
x = 20
def twice(n):
    return 2 * n
# %%
# text: "42"
twice(x) + 2
# %%
# none
class Account:
    def __init__(self, owner):
        self.owner = owner
    def __repr__(self):
        return f"Account({self.owner!r})"
account = Account("Ada")
# %%
# text: "Account('Ada')"
account
# %%
# none
del x
# %%
# error: NameError: name 'x' is not defined
x
# %%
# none
import math as m
# %%
# text: "(2, '__main__')"
m.floor(2.5), __name__
# %%
# text: "(True, True)"
import sys
sys.modules["__main__"].account is account, globals() is vars(sys.modules["__main__"])
# %%
# none
locals().update({"given": [1, 2]})
# %%
# text: "[1, 2]"
given
