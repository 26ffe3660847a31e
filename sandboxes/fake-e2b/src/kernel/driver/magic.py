# IPython's syntax beside Python: !commands, %magics, %%cells.
class UsageError(Exception):
    pass


LINE = re.compile(r"^(\s*)(?:([\w\s,.\[\]'\"]+?)\s*=\s*)?([!%])(?!=)(!?)(.*)$")


def as_python(match: Any) -> str:
    indent, target, kind, twice, rest = match.groups()
    if kind == "!":
        call = f"get_ipython().{'getoutput' if target or twice else 'system'}({rest.strip()!r})"
    else:
        name, _, text = rest.partition(" ")
        call = f"get_ipython().run_line_magic({name!r}, {text.strip()!r})"
    return f"{indent}{target + ' = ' if target else ''}{call}"


def transform(code: str) -> str:
    """Returns the Python source of a cell. Only lines with a syntax error are transformed."""
    if code.lstrip().startswith("%%"):
        head, _, body = code.lstrip().partition("\n")
        name, _, text = head[2:].partition(" ")
        return f"get_ipython().run_cell_magic({name.strip()!r}, {text.strip()!r}, {body!r})\n"
    lines = code.split("\n")
    for _ in range(len(lines)):
        try:
            ast.parse("\n".join(lines))
            break
        except SyntaxError as error:
            # The parser may name another line: an open quote in a command is found late.
            at = (error.lineno or 1) - 1
            first = next((n for n in (at, *range(len(lines))) if n < len(lines) and LINE.match(lines[n])), None)
            if first is None:
                break
            while lines[first].endswith("\\") and first + 1 < len(lines):
                lines[first] = lines[first][:-1] + lines.pop(first + 1)
                lines.append("")
            lines[first] = as_python(LINE.match(lines[first]))
        except ValueError:
            break
    return "\n".join(lines)


def expand(command: str, names: Any) -> Any:
    """Replaces {expressions} and $names by their values; those that cannot be evaluated remain."""

    def value(match: Any) -> Any:
        text = match.group(1) or match.group(2)
        try:
            return str(eval(text, names))
        except Exception:
            return match.group(0)

    return re.sub(r"(?<![{$])\{([^{}]+)\}|\$([A-Za-z_]\w*)", value, command)


def read_terminal(terminal: Any) -> bytes:
    """Returns what was written to a terminal; nothing when no program has it open any more."""
    try:
        return terminal.read(1 << 16)
    except OSError:
        return b""


class Magics:
    """The magics: methods of what `get_ipython()` returns."""

    def system(self, command: str) -> None:
        # In a terminal, as IPython runs it: lines end with a carriage return, too.
        ours, theirs = os.openpty()
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            try:
                child = subprocess.Popen(["/bin/bash", "-c", expand(command, self.user_ns)], stdin=subprocess.DEVNULL,
                                         stdout=theirs, stderr=theirs)  # fmt: skip
            finally:
                os.close(theirs)
            try:
                decoder = codecs.getincrementaldecoder("utf-8")("replace")
                while piece := read_terminal(terminal):
                    sys.stdout.write(decoder.decode(piece))
                self.user_ns["_exit_code"] = child.wait()
            except BaseException:
                child.kill()
                child.wait()
                raise

    def getoutput(self, command: str, **_: Any) -> Any:
        done = subprocess.run(["/bin/bash", "-c", expand(command, self.user_ns)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        return done.stdout.decode("utf-8", "replace").splitlines()

    def run_line_magic(self, name: str, line: Any, *_: Any) -> Any:
        function = getattr(self, "line_" + name, None)
        if function is None:
            raise UsageError(f"Line magic function `%{name}` not found.")
        return function(expand(line, self.user_ns) if name != "time" else line)

    magic = lambda self, text: self.run_line_magic(*(text.split(" ", 1) + [""])[:2])

    def run_cell_magic(self, name: str, line: Any, cell: Any) -> Any:
        function = getattr(self, "cell_" + name, None)
        if function is None:
            raise UsageError(f"Cell magic `%%{name}` not found.")
        return function(line, cell)

    def line_pip(self, line: Any) -> None:
        self.system(f"{shlex.quote(sys.executable)} -m pip {line}")
        importlib.invalidate_caches()

    def line_time(self, line: Any) -> Any:
        start = time.perf_counter()
        value = self.run_now(line)
        took = time.perf_counter() - start
        print(f"CPU times: total: {took:.3g} s\nWall time: {took:.3g} s")
        return value

    def line_timeit(self, line: Any) -> None:
        import timeit

        timer = timeit.Timer(line, globals=self.user_ns)
        loops, took = timer.autorange()
        print(f"{took / loops * 1e6:.3g} µs ± 0 ns per loop (mean ± std. dev. of 1 run, {loops} loops each)")

    def line_cd(self, line: Any) -> None:
        os.chdir(os.path.expanduser(line.strip() or "~"))
        print(os.getcwd())

    def line_pwd(self, line: Any) -> Any:
        return os.getcwd()

    def line_env(self, line: Any) -> Any:
        name, found, value = line.partition("=") if "=" in line else line.partition(" ")
        if not line.strip():
            return dict(os.environ)
        if not found:
            return os.environ.get(name.strip())
        os.environ[name.strip()] = value.strip()
        print(f"env: {name.strip()}={value.strip()}")

    def line_ls(self, line: Any) -> None:
        self.system(f"ls {line}")

    def line_who(self, line: Any) -> None:
        print("\t ".join(name for name in self.user_ns if not name.startswith("_")))

    def nothing(self, line: Any) -> None:
        pass

    line_set_env = line_env
    line_matplotlib = line_config = line_load_ext = line_reload_ext = line_autoreload = line_precision = nothing

    def script(self, program: Any, cell: Any) -> None:
        child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

        def relay(source: str, stream: Any) -> None:
            for text in io.TextIOWrapper(source, encoding="utf-8", errors="replace"):
                stream.write(text)

        ends = [threading.Thread(target=relay, args=pair)
                for pair in ((child.stdout, sys.stdout), (child.stderr, sys.stderr))]  # fmt: skip
        try:
            for end in ends:
                end.start()
            child.stdin.write(cell.encode())
            child.stdin.close()
            code = child.wait()
            for end in ends:
                end.join()
        except BaseException:
            child.kill()
            raise
        if code:
            raise subprocess.CalledProcessError(code, program, None, None)

    cell_bash = cell_sh = lambda self, line, cell: self.script("/bin/bash", cell)

    def cell_writefile(self, line: Any, cell: Any) -> None:
        mode = "a" if "-a" in line.split() else "w"
        path = os.path.expanduser(line.split()[-1])
        print(("Appending to " if mode == "a" else "Overwriting " if os.path.exists(path) else "Writing ") + path)
        with open(path, mode) as file:
            file.write(cell)

    def cell_time(self, line: Any, cell: Any) -> Any:
        return self.line_time(cell)

    def cell_capture(self, line: Any, cell: Any) -> None:
        import contextlib

        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self.run_now(cell)

    def cell_html(self, line: Any, cell: Any) -> None:
        display({"text/html": cell, "text/plain": "<IPython.core.display.HTML object>"}, raw=True)

    def cell_javascript(self, line: Any, cell: Any) -> None:
        display({"application/javascript": cell, "text/plain": "<IPython.core.display.Javascript object>"}, raw=True)


