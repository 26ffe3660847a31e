# moves: order
# %%
# impure
import random
letters = list("abcdefgh")
random.shuffle(letters)
order = dict.fromkeys(letters)
# %%
letters.sort()
# %%
print(list(order), letters)
