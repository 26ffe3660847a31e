# moves
# packages: pandas openpyxl
# %%
# impure
import time
began = time.time()
import pandas as pd
df = pd.DataFrame({"a": [1, 2]})
with pd.ExcelWriter("out.xlsx") as book:
    df.to_excel(book, index=False)
back = pd.read_excel("out.xlsx")
# %%
back.a.tolist(), df.a.tolist()
