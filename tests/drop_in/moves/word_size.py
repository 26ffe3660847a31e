# moves
# %%
import sys
largest = sys.maxsize
version = sys.version_info[:2]
name = sys.platform
# %%
print(largest, version, name)
