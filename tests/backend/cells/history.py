# %%
# text: "42"
6 * 7
# %%
# text: "43"
_ + 1
# %%
# text: "(43, 42, '')"
_, __, ___
# %%
# text: "(42, 42, 43)"
Out[1], _1, _2
# %%
# text: "('6 * 7', '_ + 1', 6)"
In[1], In[2], len(In)
# %%
# text: "('In[1], In[2], len(In)', 'Out[1], _1, _2', '6 * 7')"
_i, _ii, _i1
# %%
# text: "{1: 42,\n 2: 43,\n 3: (43, 42, ''),\n 4: (42, 42, 43),\n 5: ('6 * 7', '_ + 1', 6),\n 6: ('In[1], In[2], len(In)', 'Out[1], _1, _2', '6 * 7')}"
Out
# %%
# text: "[1, 2, 3, 4, 5, 6]"
sorted(Out)
# %%
# none
_ = "mine"
# %%
# text: "10"
10
# %%
# text: "('mine', 10)"
_, Out[10]
# %%
# none
del _
# %%
# text: "11"
11
# %%
# text: "False"
import builtins
hasattr(builtins, "_")
