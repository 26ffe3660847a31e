# moves
# %%
class Link:
    def __init__(self, after):
        self.after = after
chain = None
for _ in range(30000):
    chain = Link(chain)
deep = []
for _ in range(30000):
    deep = [deep]
# %%
count = 0
while chain:
    chain, count = chain.after, count + 1
while deep:
    deep, count = deep[0], count + 1
count
