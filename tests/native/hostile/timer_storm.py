# A timer that fires all the time, and a handler that never lets go.
import signal
def again(*_):
    while True:
        try: pass
        except BaseException: pass
for number in (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGINT, signal.SIGTERM, signal.SIGXCPU):
    signal.signal(number, again)
signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
signal.setitimer(signal.ITIMER_VIRTUAL, 0.0001, 0.0001)
while True:
    pass
