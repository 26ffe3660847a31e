# Which names a cell may have reached that asked the world for something.
_PURE = frozenset(
    "abs all any ascii bin bool bytearray bytes callable chr complex dict divmod enumerate filter float format "
    "frozenset getattr hasattr hex int isinstance issubclass iter len list map max memoryview min next oct open ord "
    "pow print range repr reversed round set slice sorted str sum tuple type zip".split()
)
_BUILTINS = frozenset(dir(builtins))
_AT_REST = (int, float, str, bytes, bool, type(None))  # these hold nothing else
_LEAVES_NOTHING = ("sleep", "show")
_SETTERS = {
    "logging": ("basicConfig", "disable", "addLevelName", "setLoggerClass"), "locale": ("setlocale",),
    "gc": ("enable", "disable", "set_threshold"), "signal": ("signal", "setitimer"), "atexit": ("register",),
    "socket": ("setdefaulttimeout",), "sys": ("settrace", "setprofile", "setswitchinterval"), "os": ("umask",),
}


class Reading:
    """The cells, read as text. A name is tainted if an impure statement may have given it its value, or changed it.

    `opaque` names are those that matter in the end; `at_rest` those whose last value is plain, and holds no other.
    """

    def __init__(self, cells, differing, opaque, at_rest):
        self.bound = {}  # name -> number of the cell that bound it last
        self.tainted = set(differing)
        self.unseen = []  # (number, why) of changes to modules that nobody can check
        self._differing = frozenset(differing)
        self._modules = set()
        self._opaque = opaque
        self._steady = set()  # functions and classes: what they are can be compared, so no cell changes them unseen
        self._reach = {}  # name -> names that using it may reach
        self._changing = {}  # function -> what it changes in a module
        self._calm = set()  # names made of nothing that could ask when it is used
        trees = [(number, _tree(source), impure, cut) for number, source, impure, cut in cells]
        self._solid = _bound_once(tree for _, tree, _, _ in trees) & at_rest
        for number, tree, impure, cut in trees:
            self._cell(number, tree, impure)
            if cut:
                self._hidden(number, tree)

    def _cell(self, number, tree, impure):
        for statement in tree.body:
            self._statement(number, statement, impure)
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            self.bound[f"Out[{number}]"] = number
            if impure and not self._innocent(tree.body[-1]):
                self.tainted.add(f"Out[{number}]")

    def _statement(self, number, statement, impure):
        mentions, stores, imports = _names(statement)
        defines = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        self._modules |= imports
        for name in stores | imports:
            self.bound[name] = number
        calm = self._innocent(statement)
        self._link(statement, mentions, stores, defines, calm)
        reached = self._closure(mentions)
        changes = self._changes(statement)
        if defines:
            if changes:
                self._changing[statement.name] = changes
            if not statement.decorator_list and statement.name not in self._opaque:
                self._steady.add(statement.name)
            if not isinstance(statement, ast.ClassDef) and not statement.decorator_list:
                return
        else:
            self._steady -= stores
        if calm and isinstance(statement, ast.Assign):
            self._calm |= stores
        else:
            self._calm -= stores
        for name in reached:
            changes = changes or self._changing.get(name)
        impure = impure and not calm
        if changes and (impure and not self._plain_change(statement) or self.tainted & mentions):
            if impure or any(name in self.tainted for name in mentions):
                self.unseen.append((number, f"this cell changes {changes} by what it asked of the clock, of chance or "
                                            "of its environment"))
        if impure or reached & self.tainted:
            self.tainted |= (reached | stores) - self._modules - self._steady - _BUILTINS
        elif isinstance(statement, ast.Assign) and all(isinstance(t, ast.Name) for t in statement.targets):
            self.tainted -= stores - self._differing

    def _closure(self, names):
        found, waiting = set(), list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self._reach.get(name, ()))
        return found

    def _link(self, statement, mentions, stores, defines, calm):
        """What a name may hold from here on; through a call, all that it is given may come to hold each other."""
        for name in stores - self._solid:
            self._reach.setdefault(name, set()).update(mentions - {name})
        if defines or calm:
            return
        if isinstance(statement, ast.Expr) and all(
                isinstance(part.func, ast.Name) and part.func.id in _PURE and part.func.id not in self.bound
                for part in ast.walk(statement) if isinstance(part, ast.Call)):
            return
        plain = isinstance(statement, ast.Assign) and all(isinstance(target, ast.Name) for target in statement.targets)
        if plain and not any(isinstance(part, ast.Call) for part in ast.walk(statement)):
            return
        data = self._closure(mentions) - self._modules - self._steady - self._solid - _BUILTINS
        for name in data:
            self._reach.setdefault(name, set()).update(data - {name})

    def _innocent(self, node):
        """Whether it can ask nothing: it calls only harmless built-in functions, on what asks nothing itself."""
        stored = {part.id for part in ast.walk(node)
                  if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)}
        constants = set()
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute):
                base = part.value
                if not (isinstance(base, ast.Name) and base.id in self._modules and base.id in sys.stdlib_module_names
                        and (part.attr.isupper() or base.id in ("math", "string"))):
                    return False
                constants.add(id(base))
            elif isinstance(part, ast.Call):
                if not isinstance(part.func, ast.Name):
                    return False
            elif isinstance(part, (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.With)):
                return False
            elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load) and id(part) not in constants:
                known = part.id in _PURE and part.id not in self.bound
                if not known and part.id not in self._calm | stored or part.id in self.tainted:
                    return False
        return True

    def _changes(self, statement):
        """What of a module a statement changes: `mod.attr = …`, `setattr(mod, …)`, or a call that is known to."""
        for part in ast.walk(statement):
            if isinstance(part, ast.Attribute) and isinstance(part.ctx, (ast.Store, ast.Del)):
                if isinstance(part.value, ast.Name) and part.value.id in self._modules:
                    return f"{part.value.id}.{part.attr}"
            elif isinstance(part, ast.Call):
                call = part.func
                if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name):
                    if call.attr in _SETTERS.get(call.value.id, ()):
                        return f"a setting of {call.value.id}"
                if isinstance(call, ast.Name) and call.id in ("setattr", "delattr") and part.args:
                    if isinstance(part.args[0], ast.Name) and part.args[0].id in self._modules:
                        return f"an attribute of {part.args[0].id}"
        return None

    def _hidden(self, number, tree):
        """What a cell that is not run again may have done inside modules, where nothing is compared."""
        for statement in tree.body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
            what = self._changes(statement)
            for part in ast.walk(statement):
                if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
                    inside = part.value.func
                    if isinstance(inside, ast.Attribute) and inside.attr in _LEAVES_NOTHING:
                        continue
                elif isinstance(part, ast.Subscript) and isinstance(part.ctx, (ast.Store, ast.Del)):
                    inside = part.value
                else:
                    continue
                while isinstance(inside, (ast.Attribute, ast.Subscript)):
                    inside = inside.value
                if isinstance(inside, ast.Name) and inside.id in self._modules:
                    what = what or f"something in {inside.id}"
            if what:
                self.unseen.append((number, f"this cell did not come to its own end and may have changed {what}"))

    def _plain_change(self, statement):
        """A change whose new value asks nothing."""
        if isinstance(statement, (ast.Assign, ast.AugAssign)):
            return self._innocent(statement.value)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            call = statement.value
            return all(self._innocent(part) for part in [*call.args, *(k.value for k in call.keywords)]) and (
                self._changes(ast.Expr(call)) is not None)
        return isinstance(statement, ast.Delete)


def _tree(source):
    try:
        return compile(_straight(source), "<cell>", "exec", ast.PyCF_ONLY_AST | _AWAIT, True)
    except (SyntaxError, ValueError):
        return ast.Module([], [])  # it ran nowhere


def _bound_once(trees):
    """Names that one plain assignment gives their only value."""
    once, more = set(), set()
    for tree in trees:
        for statement in tree.body:
            _, stores, imports = _names(statement)
            more |= (stores & once) | imports
            if not isinstance(statement, ast.Assign):
                more |= stores
            once |= stores
    return once - more


def _names(statement):
    mentions, stores, imports = set(), set(), set()
    inner = isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    for part in ast.walk(statement):
        if isinstance(part, ast.Name):
            if isinstance(part.ctx, ast.Load) or inner:
                mentions.add(part.id)
            else:
                stores.add(part.id)
        elif isinstance(part, ast.AugAssign) and isinstance(part.target, ast.Name):
            mentions.add(part.target.id)
        elif isinstance(part, (ast.Import, ast.ImportFrom)) and not inner:
            imports |= {(alias.asname or alias.name).partition(".")[0] for alias in part.names}
        elif isinstance(part, ast.Global):
            mentions.update(part.names)
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not inner:
            stores.add(part.name)
        elif isinstance(part, ast.ExceptHandler) and part.name:
            stores.add(part.name)
    if inner:
        stores.add(statement.name)
    return mentions, stores, imports
