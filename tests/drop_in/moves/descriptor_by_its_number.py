# fails: cell 2: the number of an open file
# %%
import os
many = list(range(20))
# %%
class Log:
    def __init__(self, path):
        self.path = path
        self.number = os.open(path, os.O_CREAT | os.O_WRONLY)
log = Log("log.txt")
os.write(log.number, b"begun")
# %%
1
