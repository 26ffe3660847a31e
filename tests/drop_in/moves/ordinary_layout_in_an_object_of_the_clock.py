# moves: form
# %%
# impure
import time
began = time.time()
import struct
class Format:
    def __init__(self):
        self.layout, self.made = struct.Struct("<if"), time.time()
form = Format()
# %%
form.layout.format, form.layout.size
