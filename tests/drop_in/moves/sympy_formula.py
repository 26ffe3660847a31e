# moves
# needs sympy
# %%
from sympy import symbols, integrate, sin, Rational, Matrix
x, y = symbols("x y", positive=True)
area = integrate(x ** 2 * sin(x), x)
half, grid = Rational(1, 2), Matrix([[x, 1], [0, y]])
# %%
print(area, half, grid.det(), (area + x).diff(x))
