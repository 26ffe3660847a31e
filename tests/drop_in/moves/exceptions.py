# moves
# %%
class Trouble(Exception):
    def __init__(self, code):
        super().__init__(f"code {code}")
        self.code = code
try:
    raise Trouble(5)
except Trouble as error:
    kept = error
try:
    {}["x"]
except KeyError as e:
    other = ValueError("bad")
    other.__cause__ = e
# %%
before = 1
1 / 0
after = 2
# %%
import traceback
print(kept, kept.code, repr(other), repr(other.__cause__), before, "after" in globals())
print("raise Trouble(5)" in "".join(traceback.format_exception(kept)))
