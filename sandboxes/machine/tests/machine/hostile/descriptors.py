# Looks at what descriptors a command has.
# prints: held
import stat

for number in os.listdir("/proc/self/fd"):
    try:
        target = os.readlink("/proc/self/fd/" + number)
    except OSError:
        continue
    # Its streams, and the folder that is being listed.
    if int(number) > 2 and not target.startswith("/proc/"):
        print("ESCAPED", number, target)
    if int(number) <= 2 and not target.startswith(("pipe:", "/dev/null", "socket:")):
        print("ESCAPED", number, target)
print("held")
