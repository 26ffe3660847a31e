# moves: ring
# %%
# impure
import time
ring = [time.time()]
ring.append(ring)
class Node:
    def __init__(self, value):
        self.value, self.next = value, None
first = Node(1)
first.next = Node(2)
first.next.next = first
# %%
print(ring[1] is ring, ring[0], first.next.next is first, first.next.value)
