# stdout and stderr: text is gathered for a moment and sent as one row, earlier if another row is sent.
class Stream(io.TextIOBase):
    encoding = "UTF-8"
    errors = "strict"
    # Seconds for which text is gathered.
    MOMENT = 0.02

    def __init__(self, name: str, number: int, out: Any) -> None:
        self.name, self.number, self.out = f"<{name}>", number, out
        self.kind = name

    def writable(self) -> bool:
        return True

    def fileno(self) -> Any:
        return self.number

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text)}")
        if text:
            self.out.take(self.kind, text)
        return len(text)

    def flush(self) -> None:
        self.out.flush()


class Out:
    """Sends the rows of both streams in the order in which they were written."""

    def __init__(self, wire: Any) -> None:
        self.wire = wire
        self.lock = threading.RLock()
        self.kind, self.texts = None, []
        # Between cells, output of threads is discarded.
        self.muted = True
        self.something = threading.Event()
        threading.Thread(target=self.flusher, daemon=True).start()

    def take(self, kind: str, text: str) -> None:
        with self.lock:
            if self.kind != kind:
                self.flush()
                self.kind = kind
            self.texts.append(text)
        self.something.set()

    def flush(self) -> None:
        with self.lock:
            text, self.texts = "".join(self.texts), []
            if text and not self.muted:
                text = text.encode("utf-8", "replace").decode("utf-8")
                self.wire.send_row({"type": self.kind, "text": text, "timestamp": now()})

    def flusher(self) -> None:
        while True:
            self.something.wait()
            time.sleep(Stream.MOMENT)
            self.something.clear()
            self.flush()

    def send_row(self, row: Any) -> None:
        """Sends a row, after the text that was written before it."""
        with self.lock:
            self.flush()
            self.wire.send_row(row)


class Tap:
    """Reads what child processes and C code write to a descriptor."""

    def __init__(self, number: int, kind: str, out: Any) -> None:
        self.number, self.kind, self.out = number, kind, out
        ours, theirs = os.pipe()
        os.dup2(theirs, number)
        os.close(theirs)
        self.ours = ours
        self.marks, self.seen = 0, threading.Event()
        threading.Thread(target=self.read, daemon=True).start()

    def mark(self) -> Any:
        return b"\0mark %d %d\0" % (process_id(), self.marks)

    def read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        held = b""
        while data := read(self.ours, 1 << 16):
            held += data
            mark = self.mark()
            before, found, after = held.partition(mark)
            if found:
                held = before + after
            # The beginning of a mark waits for its end.
            cut = next((i for i in range(len(mark) - 1, 0, -1) if held.endswith(mark[:i])), 0)
            text, held = (held[:-cut], held[-cut:]) if cut else (held, b"")
            text = decoder.decode(text)
            if text:
                self.out.take(self.kind, text)
            if found:
                self.marks += 1
                self.seen.set()

    def drain(self) -> None:
        """Waits until everything that was written to the descriptor has been read, for a second at most."""
        self.seen.clear()
        try:
            write(self.number, self.mark())
        except OSError:
            return
        self.seen.wait(1.0)


def after_fork() -> None:
    """Lets a forked child, which has none of the driver's threads, write to the descriptors that its parent reads."""
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False, buffering=1)
    sys.stderr = sys.__stderr__ = open(2, "w", closefd=False, buffering=1)


