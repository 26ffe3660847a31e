# Writes a library into its own folder and loads it.
import ctypes, os, shutil, glob
source = next(iter(glob.glob("/usr/lib/*/libz.so*") + glob.glob("/usr/lib/*/libm.so*")), None)
try:
    shutil.copyfile(source, "/tmp/own.so")
    os.chmod("/tmp/own.so", 0o755)
    ctypes.CDLL("/tmp/own.so")
    print("loaded: its calls are held all the same")
except (OSError, TypeError) as error:
    print("refused")
try:
    os.fork()
    print("FORKED")
except OSError:
    print("no fork")
