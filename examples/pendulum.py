"""The small-angle pendulum, solved by sympy, and how good the approximation is at 30 degrees."""

from sympy import Function, Rational, cos, dsolve, elliptic_k, pi, sin, sqrt, symbols

t = symbols("t")
g, length = symbols("g l", positive=True)
angle = Function("theta")

motion = dsolve(angle(t).diff(t, 2) + g / length * angle(t), angle(t), ics={angle(0): pi / 6, angle(t).diff(t).subs(t, 0): 0})
print("motion:", motion.rhs)

# The exact period is 4 √(l/g) K(sin²(θ₀/2)); the small-angle period is 2π √(l/g).
exact = 4 * elliptic_k(sin(pi / 12) ** 2)
ratio = (exact / (2 * pi)).evalf(8)
print("exact period / small-angle period:", ratio)

assert abs(ratio - 1) < Rational(2, 100)
assert motion.rhs.subs(t, 0) == pi / 6 and motion.rhs == pi / 6 * cos(sqrt(g / length) * t)
ratio
