# moves: words, it
# %%
# impure
import random
words = [random.random() for _ in range(3)]
it = iter(words)
next(it)
# %%
print(words, next(it), list(it))
