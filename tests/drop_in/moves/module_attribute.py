# moves
# %%
import json, string
json.mine = [1, 2]
# %%
json.mine.append(3)
# %%
json.mine
