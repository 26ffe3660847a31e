# moves: table
# %%
table = {"a": [], "b": {"deep": set()}}
inner = table["b"]
# %%
# impure
import time
inner["deep"].add(time.time())
table["a"].append(len(inner["deep"]))
# %%
print(table, inner is table["b"])
