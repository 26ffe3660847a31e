# The kernel here: the cells run again, as cells are.
class Kernel:
    def __init__(self, given):
        self.cells, self.told = given["cells"], given["told"]
        self.follows = bool(given.get("follows"))
        self.limit, self.home = given.get("limit_s") or 20, given.get("home") or os.getcwd()
        self.main = sys.modules["__main__"]
        self.names = self.main.__dict__
        self.names.pop("_switchtower_room", None)
        shell = self.names.get("get_ipython") or getattr(builtins, "get_ipython", None)
        self.shell = shell() if callable(shell) else None
        self.baseline, self.modules = frozenset(self.names), frozenset(sys.modules)
        self.files = {}  # file name -> number of the cell
        self.raised = {}  # number -> the exception, told in words
        self.environment = dict(os.environ)
        self.outputs = {}
        self._seen, self.loop = {}, None

    def replay(self):
        ends = time.monotonic() + self.limit
        self._number = None
        with _silence(self.shell), _no_sleep(self), _no_input(self.names), _alarm(self.limit):
            try:
                for cell in self.cells:
                    self._number = cell["number"]
                    if time.monotonic() > ends:
                        raise TimeUp
                    self._run(cell)
                if self.loop is not None and asyncio.all_tasks(self.loop):
                    raise Stuck("a task that still runs can be neither replayed nor carried", self._number)
            except TimeUp:
                raise Stuck(f"running the cells again took longer than {self.limit} seconds", self._number) from None

    def _run(self, cell):
        for change in cell.get("changes") or ():
            if not self.follows:
                lay(change, self.home)
            elif not is_laid(change, self.home):
                raise Stuck(f"it was given {change['path']}, which is another by now", cell["number"])
        if cell.get("cut"):
            return
        before = {name: os.environ.get(name) for name in cell.get("env") or {}}
        os.environ.update(cell.get("env") or {})
        self._forget_folders()
        try:
            value = self._evaluate(cell["code"], cell["number"])
            if value is not None:
                self._show(value, cell["number"])
        except TimeUp:
            raise
        except BaseException as error:
            self.raised[cell["number"]] = f"{type(error).__name__}: {str(error)[:200]}"
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def _forget_folders(self):
        """Imports look again for modules that a cell wrote. Only where it can have: elsewhere that takes long."""
        for folder, finder in list(sys.path_importer_cache.items()):
            if folder.startswith((self.home, "/tmp")) and "site-packages" not in folder:
                if finder is None:
                    del sys.path_importer_cache[folder]
                elif hasattr(finder, "invalidate_caches"):
                    finder.invalidate_caches()

    def _evaluate(self, source, number):
        transform = getattr(self.shell, "transform_cell", None)
        code = transform(source) if transform else _straight(source)
        file = self._file(source, code, number)
        build = getattr(self.shell, "compile", None)
        if not hasattr(build, "extra_flags"):
            build = None
        tree = compile(code, file, "exec", ast.PyCF_ONLY_AST | _AWAIT | (build.flags if build else 0), True)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr) and not _ends_silently(code, tree.body[-1]):
            last = ast.Expression(tree.body.pop().value)
        value = None
        for part, mode in ((tree, "exec"), (last, "eval")):
            if part is None or mode == "exec" and not part.body:
                continue
            if build:
                with build.extra_flags(_AWAIT):
                    made = build(part, file, mode)
            else:
                made = compile(part, file, mode, _AWAIT, True)
            value = eval(made, self.names)
            if made.co_flags & inspect.CO_COROUTINE:
                value = self._await(value)
        return value if last is not None else None

    def _await(self, coroutine):
        """Runs it in a loop of its own: the kernel's is busy running us."""
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            _leap(self.loop)
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self.loop.run_until_complete(coroutine)
        finally:
            asyncio._set_running_loop(running)

    def _file(self, source, code, number):
        """The file name under which tracebacks and `inspect` find the cell later."""
        # Equal cells would share a file name, and then nobody knew which one defined a function.
        again = self._seen[source] = self._seen.get(source, -1) + 1
        source += "\n" * again
        cache = getattr(getattr(self.shell, "compile", None), "cache", None)
        if cache is not None:
            file = cache(code, number, raw_code=source)
        else:
            file = f"/tmp/ipykernel_{os.getpid()}/{zlib.crc32(source.encode('utf-8', 'replace'))}.py"
            linecache.cache[file] = (len(code), None, code.splitlines(True), file)
            if isinstance(getattr(self.shell, "cells", None), dict):
                self.shell.cells[file] = number
        self.files[file] = number
        return file

    def _show(self, value, number):
        """What a display hook does to the names."""
        names = self.names
        if value is names.get("Out"):
            return
        names.setdefault("Out", {})[number] = value
        names["___"], names["__"], names["_"] = names.get("__", ""), names.get("_", ""), value
        names[f"_{number}"] = value

    def number(self):
        """The next cell of the client's gets the number that it would have had; this one counts as none."""
        last = max((cell["number"] for cell in self.cells), default=0)
        names, shell = self.names, self.shell
        told = {cell["number"]: cell["code"] for cell in self.cells}
        if isinstance(names.get("In"), list):
            names["In"][:] = [told.get(number, "") for number in range(last + 1)]
        for name in [name for name in names if name.startswith("_i") and name[2:].isdigit()]:
            if int(name[2:]) not in told:
                del names[name]
        names.update((f"_i{number}", code) for number, code in told.items())
        if hasattr(shell, "execution_count"):
            shell.execution_count = last
        history = getattr(shell, "history_manager", None)
        if history is not None:
            recent = [told.get(number, "") for number in range(last, last - 3, -1)]
            history._i00, history._i, history._ii = recent
            with contextlib.suppress(Exception):
                history.input_hist_raw[:] = names["In"]
        hook = getattr(shell, "displayhook", None)
        for name in ("_", "__", "___"):
            if name in names and hasattr(hook, name):
                setattr(hook, name, names[name])


def lay(change, home):
    """A file as the client left it before a cell."""
    path = os.path.join(home, change["path"])
    if change.get("gone"):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(path)
    elif change.get("folder"):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(change["content"]))


def is_laid(change, home):
    """Whether a file is as the client left it then. Others use it by now, so it must not be put back."""
    path = os.path.join(home, change["path"])
    if change.get("gone"):
        return not os.path.exists(path)
    if change.get("folder"):
        return os.path.isdir(path)
    try:
        with open(path, "rb") as file:
            return file.read() == base64.b64decode(change["content"])
    except OSError:
        return False


def _straight(source):
    """Without empty lines at its head and without the indentation of its first line, as IPython has it."""
    lines = source.split("\n")
    while len(lines) > 1 and not lines[0].strip():
        lines.pop(0)
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    return "\n".join(line.removeprefix(indent) for line in lines)


def _ends_silently(code, last):
    lines = code.splitlines()
    return lines[last.end_lineno - 1].encode()[last.end_col_offset:].decode("utf-8", "replace").lstrip().startswith(";")


@contextlib.contextmanager
