# fails: cell 2: something in json.encoder.ESCAPE_DCT
# %%
import json, os, random
os.environ["TOKEN"] = "a"
# %%
# impure
os.environ["TOKEN"] = str(random.random())
json.encoder.ESCAPE_DCT["q"] = str(random.random())
# %%
1
