# moves
# packages: native
# %%
import signal
def ring(*_):
    raise TimeoutError
signal.signal(signal.SIGALRM, ring)
signal.alarm(500)
# %%
0 < signal.alarm(0) <= 500, signal.getsignal(signal.SIGALRM) is ring
