# moves
# %%
def make():
    n = 0
    def up():
        nonlocal n
        n += 1
        return n
    def get():
        return n
    return up, get
up, get = make()
# %%
up(), up()
# %%
up(), get()
