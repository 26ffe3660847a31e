# Makes a file far larger than the disk.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = open("/tmp/sparse", "wb")
attempt("a terabyte", lambda: os.truncate("/tmp/sparse", 1 << 40))
