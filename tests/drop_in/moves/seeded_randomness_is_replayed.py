# moves
# %%
import random
random.seed(7)
first = random.random()
picked = random.sample(range(100), 5)
# %%
print(first, picked, random.random(), random.gauss(0, 1))
