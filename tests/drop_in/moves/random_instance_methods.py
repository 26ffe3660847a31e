# moves
# %%
import random
rng = random.Random(5)
values = [rng.random() for _ in range(3)]
shuffled = list(range(10))
rng.shuffle(shuffled)
# %%
print(values, shuffled, rng.random())
