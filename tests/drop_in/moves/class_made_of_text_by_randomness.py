# fails: cell None: made of text
# %%
import random
# %%
# impure
exec(f"class Made:\n    def token(self):\n        return {random.random()}")
# %%
Made().token()
