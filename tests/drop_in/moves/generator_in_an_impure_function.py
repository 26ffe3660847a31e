# fails: cell 2: g
# %%
import time
def make():
    hidden = [time.time()]
    def run():
        yield from [h for h in hidden]
    return run()
# %%
# impure
g = make()
# %%
next(g)
