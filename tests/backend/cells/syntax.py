# %%
# none
x = 1
# %%
# error: SyntaxError: '(' was never closed (3258261655.py, line 1)
print("never"
# %%
# error: SyntaxError: invalid syntax (556205560.py, line 1)
x +
# %%
# error: SyntaxError: invalid syntax (836282916.py, line 1)
def f(:
    pass
# %%
# text: "1"
x
# %%
# error: SyntaxError: invalid syntax (3221845503.py, line 1)
class = 3
# %%
# error: SyntaxError: 'return' outside function (3252512703.py, line 1)
return 5
# %%
# error: SyntaxError: unterminated string literal (detected at line 1) (2888834939.py, line 1)
'unfinished
# %%
# text: "2"
x = 2
x
