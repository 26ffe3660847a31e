# moves
# packages: sympy
# %%
# impure
import time
began = time.time()
import sympy
x, y = sympy.symbols("x y")
f = sympy.Function("f")
e = sympy.sin(x) ** 2 + y
solved = sympy.solve(x ** 2 - 2, x)
# %%
str(e), solved, str(f(x).diff(x))
