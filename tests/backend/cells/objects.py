# %%
# text: "(int, [str, dict], NoneType)"
int, [str, dict], type(None)
# %%
# text: "(__main__.A, [__main__.A.B])"
class A:
    def m(self, x: int = 1, *rest, key=None, **more) -> str:
        pass
    class B:
        pass
A, [A.B]
# %%
# text: "<function __main__.A.m(self, x: int = 1, *rest, key=None, **more) -> str>"
A.m
# %%
# text: "(<function __main__.f(a, b=2, /, c=3, *, d)>,\n <function __main__.<lambda>(x, y=1)>)"
def f(a, b=2, /, c=3, *, d): pass
f, lambda x, y=1: x
# %%
# text: "(<function len(obj, /)>,\n [<function print(*args, sep=' ', end='\\n', file=None, flush=False)>])"
len, [print]
# %%
# text: "(ValueError('bad', 3), [KeyError('k')])"
ValueError("bad", 3), [KeyError("k")]
# %%
# text: "(__main__.Trouble('x'), __main__.Trouble())"
class Trouble(Exception):
    pass
Trouble("x"), Trouble()
# %%
# text: "[Tall(\n   1),\n Tall(\n   1)]"
class Tall:
    def __repr__(self):
        return "Tall(\n  1)"
[Tall(), Tall()]
# %%
# text: "([Shy(...)], Shy(...))"
class Shy:
    def _repr_pretty_(self, p, cycle):
        with p.group(4, "Shy(", ")"):
            p.text("...")
[Shy()], Shy()
# %%
# text: "(re.compile(r'\\d+', re.UNICODE),\n re.compile(r'a', re.IGNORECASE|re.MULTILINE|re.UNICODE))"
import re
re.compile(r"\d+"), re.compile("a", re.IGNORECASE | re.MULTILINE)
# %%
# text: "P(x=1, y=[2])"
import dataclasses, enum, datetime
@dataclasses.dataclass
class P:
    x: int
    y: list
P(1, [2])
# %%
# text: "(<Color.RED: 1>, [<Color.RED: 1>], <enum 'Color'>)"
class Color(enum.Enum):
    RED = 1
Color.RED, [Color.RED], Color
# %%
# text: "(datetime.date(2024, 2, 29), datetime.timedelta(days=1, seconds=5))"
datetime.date(2024, 2, 29), datetime.timedelta(days=1, seconds=5)
# %%
# text: "(Fraction(1, 3), Decimal('0.10'))"
import fractions, decimal
fractions.Fraction(1, 3), decimal.Decimal("0.10")
# %%
# text: "('text', [1, 2])"
class S(str):
    pass
class L(list):
    pass
S("text"), L([1, 2])
