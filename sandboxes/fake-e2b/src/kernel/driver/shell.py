# The shell: runs cells, one after another.
# IPython compiles as interactive input is compiled: a cell that could go on has an error of its own.
INCOMPLETE_INPUT = 0x4000
cells_folder = sys.modules[f"{__name__}.paths"].CELLS


class Events:
    def __init__(self) -> None:
        self.callbacks = {}

    def register(self, event: Any, function: Any) -> None:
        self.callbacks.setdefault(event, []).append(function)

    def unregister(self, event: Any, function: Any) -> None:
        self.callbacks.get(event, []).remove(function)

    def trigger(self, event: Any, *arguments: Any) -> None:
        for function in list(self.callbacks.get(event, [])):
            try:
                function(*arguments)
            except Exception as error:
                print(f"Error in callback {function} (for {event}): {error}", file=sys.stderr)


class Cell:
    """The argument of callbacks that run before a cell."""

    def __init__(self, code: str) -> None:
        self.raw_cell, self.store_history, self.silent = code, True, False


def stay(keep_kernel: Any=False) -> None:
    """`exit` and `quit`, which ask the client to leave. E2B's server does not listen: the interpreter goes on."""


class Shell(Magics):
    config = {}

    def __init__(self, wire: Any) -> None:
        self.wire, self.out = wire, Out(wire)
        self.taps = [Tap(1, "stdout", self.out), Tap(2, "stderr", self.out)]
        self.events, self.execution_count = Events(), 0
        # Whether the warning about `SystemExit` was written: Python writes it once.
        self.has_warned = False
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.context = contextvars.copy_context()
        self.user_module = types.ModuleType("__main__")
        self.user_ns = self.user_module.__dict__
        self.user_ns.update(__builtins__=builtins, In=[""], Out={}, get_ipython=get_ipython, display=display,
                            exit=stay, quit=stay)  # fmt: skip
        sys.modules["__main__"] = self.user_module

    def compiled(self, source: str) -> Any:
        """Returns the code of a cell and the code of its last expression, which is None if there is none."""
        source = transform(straight(source))
        named = source.encode("utf-8", "replace")
        # Equal cells would share a name, and then the one that defined a function could not be identified.
        while (filename := f"{cells_folder}{zlib.crc32(named)}.py") in tracebacks.cell_numbers:
            named += b"\n"
        tracebacks.set_cell_number(filename, self.execution_count)
        linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | INCOMPLETE_INPUT
        tree = compile(source, filename, "exec", ast.PyCF_ONLY_AST | flags)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not ends_silently(source):
            last = compile(ast.Expression(tree.body.pop().value), filename, "eval", flags)
        return compile(tree, filename, "exec", flags), last

    def run_now(self, source: str) -> Any:
        """Runs Python for a magic and returns the value of its last expression: nothing can be awaited there."""
        value = None
        for code in self.compiled(source):
            value = code and eval(code, self.user_ns)
        return value

    def run_cell(self, code: str, *_: Any, **__: Any) -> Any:
        return self.run_now(code)

    async def execute(self, code: str) -> None:
        self.out.send_row({"type": "number_of_executions", "execution_count": self.execution_count + 1})
        # A blank cell is not counted: the next one has the same number.
        if not code or code.isspace():
            return
        self.execution_count += 1
        self.user_ns["In"].append(code)
        cell = Cell(code)
        try:
            self.events.trigger("pre_execute")
            self.events.trigger("pre_run_cell", cell)
            value = None
            parts = self.compiled(code)
            # What a cell sets in context variables stays, unless it awaits something: that cell has a copy of them.
            awaits = any(part and part.co_flags & inspect.CO_COROUTINE for part in parts)
            call: Any = call_here if awaits else self.context.run
            # Not in a coroutine of its own, which could not raise `StopIteration`.
            for part in parts:
                value = part and call(eval, part, self.user_ns)
                if part and part.co_flags & inspect.CO_COROUTINE:
                    value = await value
            if value is not None:
                ns = self.user_ns
                ns["Out"][self.execution_count] = value
                ns["___"], ns["__"], ns["_"] = ns.get("__"), ns.get("_"), value
                self.drain()
                self.out.send_row(result(call(bundle, value), True))
            show_figures()
            self.drain()
        except BaseException as error:
            self.fail(error)
        finally:
            self.events.trigger("post_run_cell", cell)

    def run(self, code: str) -> None:
        """Runs a cell in a running loop, as programs in notebooks expect."""
        cell = self.context.run(self.loop.create_task, self.execute(code))
        try:
            self.loop.run_until_complete(cell)
        except KeyboardInterrupt:
            # It came while the cell awaited something.
            cell.cancel()
            self.loop.run_until_complete(asyncio.wait([cell], timeout=1))

    def fail(self, error: BaseException) -> None:
        if isinstance(error, SystemExit) and not self.has_warned:
            self.has_warned = True
            where = "/usr/local/lib/python3/site-packages/IPython/core/interactiveshell.py:3557"
            print(f"{where}: UserWarning: To exit: use 'exit', 'quit', or Ctrl-D.\n"
                  "  warn(\"To exit: use 'exit', 'quit', or Ctrl-D.\", stacklevel=1)", file=sys.stderr)  # fmt: skip
        name, value, traceback = error_parts(error)
        if isinstance(error, UsageError):
            # As IPython: no traceback.
            print(f"UsageError: {error}", file=sys.stderr)
            traceback = ""
        self.drain()
        self.out.send_row({"type": "error", "name": name, "value": value, "traceback": traceback})

    def drain(self) -> None:
        for tap in self.taps:
            tap.drain()
        self.out.flush()


def call_here(function: Any, *arguments: Any) -> Any:
    return function(*arguments)


def straight(source: str) -> Any:
    """Returns a source without the empty lines at its start and without the indentation of its first line."""
    lines = source.split("\n")
    while len(lines) > 1 and not lines[0].strip():
        lines.pop(0)
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    return "\n".join(line.removeprefix(indent) for line in lines) if indent else "\n".join(lines)


def ends_silently(source: str) -> bool:
    """Returns whether the last token of a cell, apart from comments, is a semicolon."""
    last = None
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER,
                                  tokenize.DEDENT):  # fmt: skip
                last = token.string
    except (tokenize.TokenError, SyntaxError):
        return False
    return last == ";"


def get_ipython() -> Any:
    return SHELL


def main() -> None:
    global SHELL
    wire = Wire()
    setup = wire.request()
    SHELL = Shell(wire)
    sys.stdout, sys.stderr = Stream("stdout", 1, SHELL.out), Stream("stderr", 2, SHELL.out)
    sys.__stdout__, sys.__stderr__ = sys.stdout, sys.stderr
    builtins.input = no_input
    sys.argv, sys.path[0] = ["ipykernel_launcher.py"], ""
    os.register_at_fork(after_in_child=after_fork)
    prepare_imports(setup["modules"])
    prepare_paths(setup["root"])
    bash = Bash() if setup["language"] == "bash" else None
    cells, running = queue.SimpleQueue(), threading.Event()
    main_thread = threading.main_thread().ident

    def listen() -> None:
        try:
            while request := wire.request():
                if request["type"] == "run":
                    cells.put(request)
                elif running.is_set():
                    signal.pthread_kill(main_thread, signal.SIGINT)
        finally:
            # Also after an invalid request: to the host this is an interpreter that died.
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    # An interrupt that arrives when no cell runs is ignored.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wire.send("ready")
    while True:
        request = cells.get()
        before = dict(os.environ)
        os.environ.update(request["env"])
        importlib.invalidate_caches()
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            SHELL.out.muted = False
            running.set()
            if bash is None:
                SHELL.run(request["code"])
            else:
                bash.execute(request["code"], request["env"])
        except KeyboardInterrupt:
            pass
        finally:
            running.clear()
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        for name in request["env"]:
            if name in before:
                os.environ[name] = before[name]
            else:
                os.environ.pop(name, None)
        SHELL.out.flush()
        SHELL.out.muted = True
        wire.send("done")
