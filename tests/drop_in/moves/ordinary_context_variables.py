# moves
# %%
# impure
import time
began = time.time()
import contextvars
user = contextvars.ContextVar("user", default="nobody")
level = contextvars.ContextVar("level")
copied = contextvars.Context()
# %%
with_default = user.get()
level.set(3)
with_default, level.get(), user.name, len(copied)
