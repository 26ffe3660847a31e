# moves: draws, rng
# %%
# impure
import random
draws = [random.random() for _ in range(5)]
rng = random.Random()
# %%
doubled = [2 * d for d in draws]
# %%
print(draws, doubled, random.random(), rng.random())
