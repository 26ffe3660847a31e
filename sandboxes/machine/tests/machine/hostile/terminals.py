# Opens terminals until it cannot.
# prints: held
# gvisor: the memory of the machine limits them
import pty

held = []
try:
    while len(held) < 2000:
        held.append(pty.openpty())
except OSError:
    pass
print("held" if len(held) <= 256 else "ESCAPED", len(held))
