# moves
# %%
class Connection:
    def __init__(self):
        self.cache = {"a": 1}
    def __getstate__(self):
        print("noisy")
        return {}
connection = Connection()
# %%
print(connection.cache)
