# moves: user
# %%
import contextvars, time
user = contextvars.ContextVar("user", default=1)
level = contextvars.ContextVar("level")
flag = contextvars.ContextVar("flag", default=1)
level.set("high")
# %%
# impure
user.set(time.time())
flag.set(True)
# %%
user.get(), level.get(), flag.get()
