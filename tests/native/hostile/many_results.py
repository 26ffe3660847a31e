# A hundred thousand small values.
from IPython.display import display
for n in range(100_000):
    display({"number": n})
