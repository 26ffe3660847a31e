# moves
# %% env ONCE=given
import os
once = os.environ["ONCE"]
os.environ["KEPT"] = "yes"
os.makedirs("inside", exist_ok=True)
os.chdir("inside")
# %%
with open("notes.txt", "w") as out:
    out.write("hello")
# %%
print(once, os.environ.get("ONCE"), os.environ["KEPT"], os.path.basename(os.getcwd()), open("notes.txt").read())
