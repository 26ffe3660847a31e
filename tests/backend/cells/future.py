# %%
# none
from __future__ import annotations
# %%
# none
def f(x: Unknown) -> Other: pass
# %%
# text: "{'x': 'Unknown', 'return': 'Other'}"
f.__annotations__
# %%
# text: "<function __main__.f(x: 'Unknown') -> 'Other'>"
f
