# Signals everybody, then the first process.
# prints: held
# ends: any
# gvisor: root ends the first process, and with it the machine
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGSEGV, signal.SIGHUP, signal.SIGUSR1):
        try:
            os.kill(1, number)
        except OSError:
            pass
    os._exit(0)
os.wait()
time.sleep(0.2)
print("held", flush=True)
attempt("outside", lambda: os.kill(int(os.environ["HOST_PROCESS"]), 0))
os.kill(-1, signal.SIGKILL)
