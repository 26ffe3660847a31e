# moves
# packages: pandas
# %%
# impure
import time
began = time.time()
import pandas as pd, numpy as np
df = pd.DataFrame({"a": [1, 2, 2], "b": ["x", "y", "z"], "t": pd.to_datetime(["2024-01-01"] * 3)})
df["now"] = time.time()
grouped = df.groupby("a")
sums = grouped.size()
rolling = df["a"].rolling(2)
styled = None
numbers = df.select_dtypes("number")
df.to_csv("a.csv", index=False)
parts = pd.read_csv("a.csv", chunksize=2)
first = next(parts)
parts.close()
# %%
df.shape, sums.to_dict(), grouped.ngroups, rolling.sum().tolist()[1:], numbers.columns.tolist(), len(first)
