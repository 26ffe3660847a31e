# moves
# %%
numbers = list(range(1_000_000))
rows = [(i, str(i), i / 2) for i in range(20_000)]
class P:
    def __init__(self, x):
        self.x, self.y = x, [x]
points = [P(i) for i in range(5000)]
# %%
print(sum(numbers), rows[-1], sum(p.x for p in points), points[7].y)
