# %%
# text: "2"
1 + 1
# %%
# none
None
# %%
# none
x = 5
# %%
# none
x;
# %%
# none
x;  # quiet
# %%
# text: "5"
x  # shown; not quiet
# %%
# text: "'a;b'"
"a;b"
# %%
# text: "6"
x; x + 1
# %%
# none
if True:
    x
# %%
# none
for i in range(2):
    i
# %%
# text: "'value'"
# stdout: "out\n"
print("out")
"value"
# %%
# none
# stdout: "5\n"
print(x);
# %%
# text: "'several\\nlines'"
'''several
lines'''
# %%
# none
# only a comment
# %%
# none
lambda: 0;
# %%
# text: "True"
x == 5 if x else (
    None
)
