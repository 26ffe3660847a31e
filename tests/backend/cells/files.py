# %%
# none
with open("notes.txt", "w") as out:
    out.write("one\n")
# %%
# text: "'one\\n'"
open("notes.txt").read()
# %%
# none
log = open("log.txt", "a")
log.write("first\n");
# %%
# text: "['first\\n', 'second\\n']"
log.write("second\n")
log.close()
open("log.txt").readlines()
# %%
# text: "(True, ['a', 'log.txt', 'notes.txt'])"
import os
os.makedirs("a/b", exist_ok=True)
os.path.isdir("a/b"), sorted(os.listdir("."))
# %%
# none
os.chdir("a")
# %%
# text: "['b']"
os.listdir()
# %%
# error: FileNotFoundError: [Errno 2] No such file or directory: 'missing.txt'
open("missing.txt")
# %%
# text: "11"
open("own_module.py", "w").write("VALUE = 41\n")
# %%
# text: "42"
import own_module
own_module.VALUE + 1
