# moves: where, mark
# %%
# impure
thing = object()
where = id(thing)
mark = hash("text")
# %%
print(where, mark)
