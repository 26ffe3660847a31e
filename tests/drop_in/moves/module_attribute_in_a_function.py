# fails: cell 2: json
# %%
import json, time
def mark():
    json.stamp = time.time()
# %%
# impure
mark()
# %%
json.stamp
