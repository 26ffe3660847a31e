# moves
# %%
# impure
import time
began = time.time()
import traceback
try:
    1 / 0
except ZeroDivisionError as error:
    caught = error
    text = traceback.format_exc()
# %%
repr(caught), caught.args, "ZeroDivisionError" in text
