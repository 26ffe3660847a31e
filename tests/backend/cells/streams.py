# %%
# none
# stdout: "a"
print("a", end="")
# %%
# none
# stdout: "b\n"
print("b")
# %%
# none
# stdout: "no newline"
import sys
sys.stdout.write("no newline");
# %%
# text: "2"
# stdout: "x\n"
sys.stdout.write("x\n")
# %%
# text: "'not heard\\n'"
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()) as held:
    print("not heard")
held.getvalue()
# %%
# none
# stdout: "ü → 🎉\n"
print("ü → 🎉")
# %%
# none
print("x", file=sys.stderr)
# %%
# none
# stdout: "0\n1\n2\n"
for i in range(3):
    print(i)
