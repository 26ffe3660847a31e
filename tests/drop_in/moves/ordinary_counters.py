# moves
# %%
# impure
import time
began = time.time()
import itertools
ids = itertools.count(10, 5)
first = next(ids)
class Node:
    serial = itertools.count()
    def __init__(self):
        self.id, self.made = next(Node.serial), time.time()
nodes = [Node(), Node()]
# %%
next(ids), first, nodes[1].id, next(Node.serial)
