# moves: moment
# %%
import time
class Proxy:
    def __init__(self, inside):
        self.__dict__["inside"] = inside
    def __getattr__(self, name):
        return Proxy(name)
    def __call__(self, *a):
        return self
    def __eq__(self, other):
        raise RuntimeError("not comparable")
    def __hash__(self):
        return 1
    def __reduce__(self):
        raise RuntimeError("not here")
class Angry:
    @property
    def __dict__(self):
        raise RuntimeError("no")
    def __repr__(self):
        raise RuntimeError("no")
    def __bool__(self):
        raise RuntimeError("no")
    def __len__(self):
        raise RuntimeError("no")
proxy, angry, both = Proxy("p"), Angry(), {1: Proxy(2)}
# %%
# impure
moment = time.time()
# %%
print(proxy.__dict__["inside"], type(angry).__name__, both[1].__dict__, moment)
