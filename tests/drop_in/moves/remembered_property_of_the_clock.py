# moves: table
# %%
import functools, time
class Table:
    @functools.cached_property
    def made(self):
        return time.time()
table = Table()
# %%
# impure
table.made
# %%
table.made == Out[2], vars(table) == {"made": table.made}, table.made
