# Gives a program capabilities.
import shutil

shutil.copy("/bin/cat", "/tmp/able")
value = struct.pack("<IIIII", 0x02000001, 1 << 21, 0, 0, 0)
attempt("version 2", lambda: os.setxattr("/tmp/able", "security.capability", value))
attempt("version 3", lambda: os.setxattr("/tmp/able", "security.capability", struct.pack("<IIIIII", 0x03000001, 1 << 21, 0, 0, 0, 0)))
for name in ("security.ima", "security.evm", "trusted.x"):
    attempt(name, lambda: os.setxattr("/tmp/able", name, b"x"))
