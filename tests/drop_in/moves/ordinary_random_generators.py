# moves
# %%
# impure
import time
began = time.time()
import random
seeded, free = random.Random(1), random.Random()
drawn = seeded.random(), free.random()
# %%
seeded.random(), free.random() != drawn[1], drawn[0]
