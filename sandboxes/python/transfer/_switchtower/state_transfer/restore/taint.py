"""Reads the cells as text: which names may depend on clock, randomness, environment or identity."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Collection, Iterable

from .source import parse

# Built-in functions that by themselves read neither clock, randomness, environment nor identity.
_PURE = frozenset(
    "abs all any ascii bin bool bytearray bytes callable chr complex dict divmod enumerate filter float format "
    "frozenset getattr hasattr hex int isinstance issubclass iter len list map max memoryview min next oct open ord "
    "pow print range repr reversed round set slice sorted str sum tuple type zip".split()
)
_BUILTINS = frozenset(dir(builtins))
# Types whose values hold no others.
PLAIN_TYPES = (int, float, str, bytes, bool, type(None))
# Methods of modules that change nothing.
_WITHOUT_EFFECT = ("sleep", "show")
# Functions that change a setting of their module.
_SETTERS = {
    "logging": ("basicConfig", "disable", "addLevelName", "setLoggerClass"),
    "locale": ("setlocale",),
    "gc": ("enable", "disable", "set_threshold"),
    "signal": ("signal", "setitimer"),
    "atexit": ("register",),
    "socket": ("setdefaulttimeout",),
    "sys": ("settrace", "setprofile", "setswitchinterval"),
    "os": ("umask",),
}


# What of a module is transferred.
_TRANSFERRED = ("os.environ",)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class TaintAnalysis:
    """A name is tainted if an impure statement may have given it its value, or changed it."""

    def __init__(
        self,
        cells: Iterable[tuple[int, str, bool, bool]],
        differing: Collection[str],
        opaque: Collection[str],
        plain: Collection[str],
    ) -> None:
        """`cells`: number, source, impure, incomplete. `differing`: names that came out different. `opaque`: names whose
        values cannot be compared. `plain`: names whose last value is plain, and holds no other."""
        # Name to number of the cell that bound it last.
        self.bound: dict[str, int] = {}
        self.tainted = set(differing)
        # Cell and reason of changes to modules that cannot be checked.
        self.unchecked: list[tuple[int, str]] = []
        self._differing = frozenset(differing)
        self._modules: set[str] = set()
        self._opaque = opaque
        # Functions and classes: what they are can be compared, so no cell changes them unseen.
        self._comparable: set[str] = set()
        # Name to names that using it may reach.
        self._reach: dict[str, set[str]] = {}
        # Function to what it changes in a module.
        self._changing: dict[str, str] = {}
        # Names whose values are pure when they are used.
        self._harmless: set[str] = set()
        trees = [(number, parse(source), impure, incomplete) for number, source, impure, incomplete in cells]
        self._constant = _bound_once(tree for _, tree, _, _ in trees) & set(plain)
        for number, tree, impure, incomplete in trees:
            self._read_cell(number, tree, impure)
            if incomplete:
                self._note_unchecked(number, tree)

    def _read_cell(self, number: int, tree: ast.Module, impure: bool) -> None:
        for statement in tree.body:
            self._read_statement(number, statement, impure)
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            self.bound[f"Out[{number}]"] = number
            if impure and not self._is_pure(tree.body[-1]):
                self.tainted.add(f"Out[{number}]")

    def _read_statement(self, number: int, statement: ast.stmt, impure: bool) -> None:
        mentions, stores, imports = _names(statement)
        self._modules |= imports
        for name in stores | imports:
            self.bound[name] = number
        harmless = self._is_pure(statement)
        self._link(statement, mentions, stores, harmless)
        reached = self._closure(mentions)
        changes = self._changes(statement)
        if isinstance(statement, _DEFINITIONS):
            if changes:
                self._changing[statement.name] = changes
            if not statement.decorator_list and statement.name not in self._opaque:
                self._comparable.add(statement.name)
            if not isinstance(statement, ast.ClassDef) and not statement.decorator_list:
                return
        else:
            self._comparable -= stores
        if harmless and isinstance(statement, ast.Assign):
            self._harmless |= stores
        else:
            self._harmless -= stores
        for name in reached:
            changes = changes or self._changing.get(name)
        impure = impure and not harmless
        if changes and (impure and not self._is_plain_change(statement) or self.tainted & mentions):
            if impure or any(name in self.tainted for name in mentions):
                reason = f"this cell changes {changes} by what it read from the clock, from random numbers or from its environment"
                self.unchecked.append((number, reason))
        if impure or reached & self.tainted:
            self.tainted |= (reached | stores) - self._modules - self._comparable - _BUILTINS
        elif isinstance(statement, ast.Assign) and all(isinstance(t, ast.Name) for t in statement.targets):
            self.tainted -= stores - self._differing

    def _closure(self, names: Iterable[str]) -> set[str]:
        """Returns the names that using these may reach."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self._reach.get(name, ()))
        return found

    def _link(self, statement: ast.stmt, mentions: set[str], stores: set[str], harmless: bool) -> None:
        """Notes what a name may hold from here on. In a call, all that is passed may come to hold each other."""
        for name in stores - self._constant:
            self._reach.setdefault(name, set()).update(mentions - {name})
        if isinstance(statement, _DEFINITIONS) or harmless:
            return
        if isinstance(statement, ast.Expr) and all(
            isinstance(part.func, ast.Name) and part.func.id in _PURE and part.func.id not in self.bound
            for part in ast.walk(statement)
            if isinstance(part, ast.Call)
        ):
            return
        plain = isinstance(statement, ast.Assign) and all(isinstance(target, ast.Name) for target in statement.targets)
        if plain and not any(isinstance(part, ast.Call) for part in ast.walk(statement)):
            return
        data = self._closure(mentions) - self._modules - self._comparable - self._constant - _BUILTINS
        for name in data:
            self._reach.setdefault(name, set()).update(data - {name})

    def _is_pure(self, node: ast.AST) -> bool:
        """Returns whether an expression calls only pure built-in functions, on pure values."""
        stored = {
            part.id for part in ast.walk(node) if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)
        }
        constants = set()
        for part in ast.walk(node):
            if isinstance(part, ast.Attribute):
                base = part.value
                if not (
                    isinstance(base, ast.Name)
                    and base.id in self._modules
                    and base.id in sys.stdlib_module_names
                    and (part.attr.isupper() or base.id in ("math", "string"))
                ):
                    return False
                constants.add(id(base))
            elif isinstance(part, ast.Call):
                if not isinstance(part.func, ast.Name):
                    return False
            elif isinstance(part, (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.With)):
                return False
            elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load) and id(part) not in constants:
                known = part.id in _PURE and part.id not in self.bound
                if not known and part.id not in self._harmless | stored or part.id in self.tainted:
                    return False
        return True

    def _changes(self, statement: ast.stmt) -> str | None:
        """Returns what of a module a statement changes: `mod.attr = …`, `setattr(mod, …)`, or a call known to."""
        for part in ast.walk(statement):
            if isinstance(part, ast.Attribute) and isinstance(part.ctx, (ast.Store, ast.Del)):
                if isinstance(part.value, ast.Name) and part.value.id in self._modules:
                    return f"{part.value.id}.{part.attr}"
                if (within := self._inside_module(part.value)) is not None:
                    return within
            elif isinstance(part, ast.Subscript) and isinstance(part.ctx, (ast.Store, ast.Del)):
                if (within := self._inside_module(part.value)) is not None:
                    return within
            elif isinstance(part, ast.Call):
                call = part.func
                if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name):
                    if call.attr in _SETTERS.get(call.value.id, ()):
                        return f"a setting of {call.value.id}"
                if isinstance(call, ast.Name) and call.id in ("setattr", "delattr") and part.args:
                    if isinstance(part.args[0], ast.Name) and part.args[0].id in self._modules:
                        return f"an attribute of {part.args[0].id}"
        return None

    def _inside_module(self, node: ast.expr) -> str | None:
        """Returns what an expression like `mod.kind` or `mod.table["a"]` leads to in a module, if that is not transferred."""
        path = ""
        while isinstance(node, (ast.Attribute, ast.Subscript)):
            if isinstance(node, ast.Attribute):
                path = f".{node.attr}{path}"
            node = node.value
        if not isinstance(node, ast.Name) or node.id not in self._modules or not path:
            return None
        return None if (found := node.id + path) in _TRANSFERRED else f"something in {found}"

    def _note_unchecked(self, number: int, tree: ast.Module) -> None:
        """Notes what a cell that is not run again may have changed in modules, where nothing is compared."""
        for statement in tree.body:
            if isinstance(statement, _DEFINITIONS):
                continue
            what = self._changes(statement)
            for part in ast.walk(statement):
                if isinstance(part, ast.Expr) and isinstance(part.value, ast.Call):
                    inside: ast.expr = part.value.func
                    if isinstance(inside, ast.Attribute) and inside.attr in _WITHOUT_EFFECT:
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
                reason = f"this cell did not come to its own end and may have changed {what}"
                self.unchecked.append((number, reason))

    def _is_plain_change(self, statement: ast.stmt) -> bool:
        """Returns whether a statement is a change with a pure new value."""
        if isinstance(statement, (ast.Assign, ast.AugAssign)):
            return self._is_pure(statement.value)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            call = statement.value
            return all(self._is_pure(part) for part in [*call.args, *(k.value for k in call.keywords)]) and (
                self._changes(ast.Expr(call)) is not None
            )
        return isinstance(statement, ast.Delete)


def _bound_once(trees: Iterable[ast.Module]) -> set[str]:
    """Returns names that one plain assignment gives their only value."""
    once: set[str] = set()
    more: set[str] = set()
    for tree in trees:
        for statement in tree.body:
            _, stores, imports = _names(statement)
            more |= (stores & once) | imports
            if not isinstance(statement, ast.Assign):
                more |= stores
            once |= stores
    return once - more


def _names(statement: ast.stmt) -> tuple[set[str], set[str], set[str]]:
    """Returns the names that a statement mentions, binds and imports."""
    mentions: set[str] = set()
    stores: set[str] = set()
    imports: set[str] = set()
    inner = isinstance(statement, _DEFINITIONS)
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
        elif isinstance(part, _DEFINITIONS) and not inner:
            stores.add(part.name)
        elif isinstance(part, ast.ExceptHandler) and part.name:
            stores.add(part.name)
    if isinstance(statement, _DEFINITIONS):
        stores.add(statement.name)
    return mentions, stores, imports
