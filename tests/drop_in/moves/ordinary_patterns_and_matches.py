# moves
# %%
# impure
import time
began = time.time()
import re
word = re.compile(r"(\w+)=(\d+)", re.I)
found = word.search("a=1")
every = word.finditer("a=1 b=2")
listed = [m.group(1) for m in every]
# %%
word.pattern, word.flags, found.groups(), listed
