# moves
# %%
import sys
def log(*_):
    pass
sys.excepthook = log
# %%
sys.excepthook is log
