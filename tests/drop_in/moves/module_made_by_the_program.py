# moves: settings, box
# %%
import random, sys, types
settings = types.ModuleType("settings", "What the program is given.")
settings.names = ["a"]
box = {"settings": settings}
shared = types.ModuleType("shared_settings")
sys.modules["shared_settings"] = shared
# %%
# impure
settings.token = random.random()
shared.token = random.random()
shared.names = [random.random()]
# %%
import shared_settings
(settings.token, settings.names, settings.__doc__, box["settings"] is settings, settings.__name__,
 shared_settings is shared, shared.token, shared.names)
