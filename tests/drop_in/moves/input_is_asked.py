# moves
# %%
try:
    answer = input("? ")
except EOFError:
    answer = "nobody"
# %%
answer
