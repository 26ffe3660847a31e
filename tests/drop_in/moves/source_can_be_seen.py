# moves
# %%
import inspect

def shown(a):
    return a + 1
class Seen:
    def method(self):
        return 2
# %%
import traceback
print(inspect.getsource(shown), inspect.getsource(Seen.method).strip())
try:
    shown("x")
except TypeError:
    print("return a + 1" in traceback.format_exc())
