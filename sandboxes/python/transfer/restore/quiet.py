# What is out of the way while they do: output, sleep, input, and time without end.
def _silence(shell):
    """Nobody hears what the cells say again. The streams themselves stay: programs keep them, loggers above all."""
    streams, kept = (sys.stdout, sys.stderr), []
    hooks = sys.displayhook, sys.excepthook

    def put(owner, name, new):
        old = vars(owner).get(name, kept) if hasattr(owner, "__dict__") else kept
        with contextlib.suppress(Exception):
            setattr(owner, name, new)
            kept.append((owner, name, old))

    def deaf(*_, **__):
        return None

    for stream in streams:
        put(stream, "write", lambda text: len(text))
    put(getattr(shell, "display_pub", None), "publish", deaf)
    put(getattr(shell, "display_pub", None), "clear_output", deaf)
    put(getattr(shell, "out", None), "say", deaf)
    descriptors = []
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        descriptors = [(number, os.dup(number)) for number in (1, 2)]
        for number, _ in descriptors:
            os.dup2(nowhere, number)
        os.close(nowhere)
    try:
        yield
    finally:
        for stream in (sys.__stdout__, sys.__stderr__):
            with contextlib.suppress(Exception):
                stream.flush()
        for number, old in descriptors:
            os.dup2(old, number)
            os.close(old)
        sys.stdout, sys.stderr = streams
        sys.displayhook, sys.excepthook = hooks
        for owner, name, old in reversed(kept):
            if old is kept:
                delattr(owner, name)
            else:
                setattr(owner, name, old)


@contextlib.contextmanager
def _no_sleep(kernel):
    """Sleeping took its time already."""
    real, asleep = time.sleep, True

    def sleep(seconds, /):
        if not asleep:
            return real(seconds)
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        return None

    time.sleep = sleep
    try:
        yield
    finally:
        asleep = False
        time.sleep = real
        # A program may have taken it by name.
        for module in [kernel.main, *list(sys.modules.values())]:
            names = getattr(module, "__dict__", None)
            if type(names) is dict and (module is kernel.main or _scratch(module)):
                for name, value in list(names.items()):
                    if value is sleep:
                        names[name] = real


def _leap(loop):
    """The loop's clock leaps where it would wait, so that tasks which sleep side by side wake in their order."""
    selector = getattr(loop, "_selector", None)
    if selector is None:
        return
    clock, select, ahead = loop.time, selector.select, 0.0

    def leap(timeout=None):
        nonlocal ahead
        if timeout is not None and timeout > 0:
            ahead += timeout
            timeout = 0
        return select(timeout)

    loop.time = lambda: clock() + ahead
    selector.select = leap


def _scratch(module):
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and "/lib/python" not in file and "site-packages" not in file


@contextlib.contextmanager
def _no_input(names):
    def read(prompt="", /):
        raise EOFError("EOF when reading a line")

    old, mine = builtins.input, names.get("input")
    builtins.input = read
    if mine is not None:
        names["input"] = read
    try:
        yield
    finally:
        builtins.input = old
        if mine is not None and names.get("input") is read:
            names["input"] = mine


@contextlib.contextmanager
def _alarm(seconds):
    """Only the main thread can be interrupted; elsewhere the limit is looked at between cells."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "ITIMER_REAL"):
        yield
        return

    def ring(*_):
        raise TimeUp

    old = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
