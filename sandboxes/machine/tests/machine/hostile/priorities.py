# Takes the processor from others.
# gvisor: its processes have no priorities of the host
attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
attempt("fifo", lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10)))
attempt("deadline", lambda: call(314, 0, ctypes.create_string_buffer(struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 10**7, 10**8, 10**8)), 0))
attempt("io", lambda: call(251, 1, 0, 1 << 13))
attempt("first process", lambda: os.setpriority(os.PRIO_PROCESS, 1, -5))
