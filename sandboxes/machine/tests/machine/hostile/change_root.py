# The classic way out of a changed root.
# prints: held
os.makedirs("/tmp/jail", exist_ok=True)
out = os.open("/", os.O_RDONLY)
try:
    os.chroot("/tmp/jail")
    os.fchdir(out)
    for _ in range(100):
        os.chdir("..")
    os.chroot(".")
except OSError as error:
    print("refused", error.errno)
mark = os.environ["HOST_MARK"]
print("ESCAPED" if os.path.exists(mark) or os.path.exists("/work") else "held")
