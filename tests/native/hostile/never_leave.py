# Everything that runs at an interpreter's end, made endless.
import atexit, sys, threading, weakref
@atexit.register
def at_exit():
    while True:
        try: pass
        except BaseException: pass
class Last:
    def __del__(self):
        while True: pass
last = Last()
weakref.finalize(last, at_exit)
print("leaving", flush=True)
sys.exit(0)
