# moves
# %% given notes.txt=one two
source = open("notes.txt")
first = source.read(3)
# %%
print(first, source.read())
