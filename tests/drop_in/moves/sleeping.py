# moves
# %%
import time
from time import sleep
from asyncio import sleep as nap
nap_of_mine = [sleep]
sleep(0.01)
# %%
print(sleep is time.sleep, nap_of_mine[0] is time.sleep, nap.__module__)
