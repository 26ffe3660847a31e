# A value of half a gigabyte.
from IPython.display import display
class Huge:
    def _repr_html_(self): return "x" * (1 << 28)
    def __repr__(self): return "huge"
try:
    display(Huge())
    Huge()
except BaseException as error:
    print(type(error).__name__)
"y" * (1 << 26)
