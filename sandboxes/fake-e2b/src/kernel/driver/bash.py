# Cells of Bash, in one shell. What it writes to either stream is output, as with E2B's kernel for Bash.
class Bash:
    def __init__(self) -> None:
        self.child: Any = None

    def start(self) -> Any:
        self.child = subprocess.Popen(["/bin/bash", "--noprofile", "--norc"], stdin=subprocess.PIPE, bufsize=0,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
        return self.child

    def execute(self, code: str, env: dict[str, str]) -> None:
        """Runs a cell and sends its rows. An interrupt ends the shell; the next cell gets a new one."""
        SHELL.execution_count += 1
        SHELL.out.send_row({"type": "number_of_executions", "execution_count": SHELL.execution_count})
        try:
            status = self.status(code, env)
        except BaseException:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
            raise
        if status:
            SHELL.out.send_row({"type": "error", "name": "", "value": str(status), "traceback": ""})

    def status(self, code: str, env: dict[str, str]) -> int:
        """Runs a cell and returns its status; that of a shell that has ended is 0."""
        child = self.child if self.child is not None and self.child.poll() is None else self.start()
        # Its first letter is no digit, which would belong to the escape before it.
        mark = "m" + os.urandom(16).hex()
        # Encoded, so that an open quote in a cell stays in it.
        given = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())
        encoded = base64.b64encode((given + code).encode()).decode()
        after = f"status=$?; unset {' '.join(env)}" if env else "status=$?"
        cell = f"eval \"$(printf %s {encoded} | base64 -d)\" < /dev/null; {after}; printf '\\0{mark} %d\\0' $status\n"
        try:
            child.stdin.write(cell.encode())
        except BrokenPipeError:
            pass
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # Whether the output so far ends with a line's end.
        ended = True
        held, opening = b"", b"\0" + mark.encode() + b" "
        while piece := os.read(child.stdout.fileno(), 1 << 16):
            held += piece
            before, found, after_mark = held.partition(opening)
            if found and after_mark.endswith(b"\0"):
                text = decoder.decode(before, True)
                # E2B's kernel reads lines: the last one has an end, too.
                has_end = text.endswith("\n") if text else ended
                SHELL.out.take("stdout", text if has_end else text + "\n")
                SHELL.out.flush()
                return int(after_mark[:-1])
            if not found:
                # The beginning of a mark waits for its end.
                cut = next((n for n in range(len(opening) - 1, 0, -1) if held.endswith(opening[:n])), 0)
                text = decoder.decode(held[: len(held) - cut])
                ended = text.endswith("\n") if text else ended
                SHELL.out.take("stdout", text)
                held = held[len(held) - cut :]
        SHELL.out.take("stdout", decoder.decode(held, True) + "exit\nRestarting Bash\n")
        SHELL.out.flush()
        child.wait()
        return 0


