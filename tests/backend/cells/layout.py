# %%
# text: "1"

x = 1
x
# %%
# text: "3"
    y = 2
    y + x
# %%
# text: "4"
>>> z = 3
>>> z + 1
# %%
# text: "5"
x = 1;\
y = 5
y
# %%
# text: "6"
if x:
    y = 6

y
# %%
# text: "'\\n  a\\n'"
s = """
  a
"""
s
# %%
# text: "2"
%matplotlib inline
x + 1
# %%
# none
%load_ext autoreload
%autoreload 2
# %%
# text: "3"
value = 7 % 4
value
