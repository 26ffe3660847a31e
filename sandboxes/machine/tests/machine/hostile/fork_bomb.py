# Forks until it cannot; its children stay.
# prints: stopped True True
# gvisor: gVisor ends where the host refuses it threads
count = 0
try:
    while True:
        if os.fork() == 0:
            os.closerange(0, 3)
            time.sleep(600)
            os._exit(0)
        count += 1
except OSError as error:
    print("stopped", error.errno == errno.EAGAIN, count < 600)
