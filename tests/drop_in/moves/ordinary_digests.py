# moves
# %%
# impure
import time
began = time.time()
import hashlib, hmac, struct
digest = hashlib.sha256(b"abc")
keyed = hmac.new(b"k", b"abc", "sha256")
layout = struct.Struct("<if")
# %%
digest.update(b"d")
digest.hexdigest(), keyed.hexdigest(), layout.format, layout.pack(1, 2.0)
