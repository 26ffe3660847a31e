"""Values as IPython's pretty printer lays them out: `repr`, broken over lines where it is wider than a screen.

A group of values is broken at all its places or at none, outer groups before inner ones. Objects may take part with
`_repr_pretty_(printer, cycle)`, so the printer's methods have the names that IPython documents.
"""

from __future__ import annotations

import collections
import contextlib
import datetime
import inspect
import os
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

try:
    from annotationlib import Format

    _AS_WRITTEN = {"annotation_format": Format.FORWARDREF}
except ImportError:
    _AS_WRITTEN = {}

WIDTH = 79
# Types whose repr has no line breaks and cannot be replaced.
_SCALARS = frozenset({int, float, complex, bool, str, bytes, type(None), range})
_BRACKETS: dict[type, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")")}
# Returns the function that a cell registered for a type or one of its bases: `None` until one is registered.
find_registered: Callable[[type], Any] | None = None
# How numbers with a point are written (`%precision`), if not as they are.
float_format: str | None = None


def pretty(value: Any) -> Any:
    """Returns the text of a value."""
    kind = type(value)
    if float_format is not None or find_registered is not None:
        printer = Printer()
        printer.pretty(value)
        return printer.finish()
    if kind in _SCALARS:
        return repr(value)
    brackets = _BRACKETS.get(kind)
    if brackets and len(value) > 1 and _SCALARS.issuperset(map(type, value)):
        return _row(value, *brackets)
    printer = Printer()
    printer.pretty(value)
    return printer.finish()


def pretty_as_built_in(value: Any, *_options: Any, **_named: Any) -> Any:
    """Returns the text of a value without what a cell registered: functions that cells register call this for the rest."""
    global find_registered, float_format
    held = find_registered, float_format
    find_registered = float_format = None
    try:
        return pretty(value)
    finally:
        find_registered, float_format = held


def _row(values: Any, start: Any, end: Any) -> Any:
    """Returns the text of a list or tuple of scalars: one line, or a line for each."""
    parts = [*map(repr, values)]
    width = sum(map(len, parts)) + 2 * len(parts)
    return start + (", " if width <= WIDTH else ",\n ").join(parts) + end


class _Group:
    """Things that are broken together. `places` are those of its places that are still undecided."""

    __slots__ = ("broken", "depth", "places")

    def __init__(self, depth: Any) -> None:
        self.depth, self.broken, self.places = depth, False, 0


class _Place:
    """A place for a line break."""

    __slots__ = ("group", "indentation", "text")

    def __init__(self, text: str, group: Any, indentation: Any) -> None:
        self.text, self.group, self.indentation = text, group, indentation


class Printer:
    """Writes text, and decides about line breaks when a line is full."""

    verbose = False
    newline = "\n"
    max_width = WIDTH
    # E2B's kernels leave no values out of long containers.
    max_seq_length = 0

    def __init__(self) -> None:
        self._done: list[str] = []
        self.output_width = 0  # of the last line that is done
        self.buffer: collections.deque[Any] = collections.deque()  # text and places that are undecided
        self.buffer_width = 0
        self.indentation = 0
        root = _Group(0)
        self.group_stack = [root]
        self._waiting = [[root]]  # groups that can be broken, by depth
        self._inside: list[int] = []  # the identities of the values that are being printed

    def finish(self) -> str:
        """Returns all that was written."""
        self.flush()
        return "".join(self._done)

    def text(self, text: str) -> None:
        """Adds literal text."""
        if self.buffer:
            self.buffer.append(text)
            self.buffer_width += len(text)
            self._break_outer_groups()
        else:
            self._done.append(text)
            self.output_width += len(text)

    def breakable(self, sep: Any = " ") -> None:
        """Adds a place for a line break. Where none is made, `sep` is written."""
        group = self.group_stack[-1]
        if group.broken:
            self.flush()
            self._new_line(self.indentation)
        else:
            group.places += 1
            self.buffer.append(_Place(sep, group, self.indentation))
            self.buffer_width += len(sep)
            self._break_outer_groups()

    def break_(self) -> None:
        """Adds a line break."""
        group = self._next_to_break()
        if group is not None:
            self._break(group)
        self.flush()
        self._new_line(self.indentation)

    def begin_group(self, indent: Any = 0, open: Any = "") -> None:
        """Begins a group; its lines are indented by `indent`."""
        if open:
            self.text(open)
        group = _Group(self.group_stack[-1].depth + 1)
        self.group_stack.append(group)
        while len(self._waiting) <= group.depth:
            self._waiting.append([])
        self._waiting[group.depth].append(group)
        self.indentation += indent

    def end_group(self, dedent: Any = 0, close: Any = "") -> None:
        """Ends the group that was begun last."""
        self.indentation -= dedent
        group = self.group_stack.pop()
        if not group.places:
            self._is_decided(group)
        if close:
            self.text(close)

    @contextlib.contextmanager
    def group(self, indent: Any = 0, open: Any = "", close: Any = "") -> Iterator[None]:
        """A group around what the `with` statement holds."""
        self.begin_group(indent, open)
        try:
            yield
        finally:
            self.end_group(indent, close)

    @contextlib.contextmanager
    def indent(self, indent: Any) -> Iterator[None]:
        """Indents what the `with` statement holds."""
        self.indentation += indent
        try:
            yield
        finally:
            self.indentation -= indent

    def flush(self) -> None:
        """Writes what is undecided as it is."""
        # IPython counts the width in twice here, and later lines break by it.
        for piece in self.buffer:
            self.output_width += self._write(piece)
        self.buffer.clear()
        self.buffer_width = 0

    def pretty(self, value: Any) -> Any:
        """Adds a value."""
        kind = type(value)
        if kind in _SCALARS and (find_registered is None or find_registered(kind) is None):
            text = float_format % value if kind is float and float_format is not None else repr(value)
            if not self.buffer:
                return self.text(text)
            # The groups hold no place, and count all the same where groups are taken off the list.
            self.begin_group()
            self.begin_group()
            self.text(text)
            self.end_group()
            return self.end_group()
        key = id(value)
        cycle = key in self._inside
        self._inside.append(key)
        self.begin_group()
        try:
            return _printer_of(value)(value, self, cycle)
        finally:
            self.end_group()
            self._inside.pop()

    def _break_outer_groups(self) -> None:
        while self.max_width < self.output_width + self.buffer_width:
            group = self._next_to_break()
            if group is None:
                return
            self._break(group)

    def _next_to_break(self) -> Any:
        """The outermost group with undecided places; of several the last one."""
        for groups in self._waiting:
            for index, group in enumerate(reversed(groups)):
                if group.places:
                    # IPython takes another one off the list where there are several: layouts depend on it.
                    del groups[index]
                    group.broken = True
                    return group
            for group in groups:
                group.broken = True
            groups.clear()
        return None

    def _break(self, group: Any) -> None:
        buffer = self.buffer
        while group.places:
            self._pop(buffer.popleft())
        while buffer and type(buffer[0]) is not _Place:
            self._pop(buffer.popleft())

    def _pop(self, piece: Any) -> None:
        self.buffer_width -= len(piece.text) if type(piece) is _Place else len(piece)
        self.output_width = self._write(piece)

    def _write(self, piece: Any) -> Any:
        """Writes text or a place. Returns the width of the line then."""
        if type(piece) is not _Place:
            self._done.append(piece)
            return self.output_width + len(piece)
        group = piece.group
        group.places -= 1
        if group.broken:
            self._new_line(piece.indentation)
            return piece.indentation
        if not group.places:
            self._is_decided(group)
        self._done.append(piece.text)
        return self.output_width + len(piece.text)

    def _new_line(self, indentation: Any) -> None:
        self._done.append(self.newline + " " * indentation)
        self.output_width = indentation

    def _is_decided(self, group: Any) -> None:
        groups = self._waiting[group.depth]
        if group in groups:
            groups.remove(group)


def _printer_of(value: Any) -> Any:
    """Returns how a value is printed: by the first of its classes that is known or has a method for it."""
    registered = None if find_registered is None else find_registered(type(value))
    if registered is not None:
        return registered
    kind = _attribute(value, "__class__") or type(value)
    for cls in getattr(kind, "__mro__", (kind,)):
        print_value = _BY_TYPE.get(cls) or _BY_NAME.get((_attribute(cls, "__module__"), _attribute(cls, "__name__")))
        if print_value is not None:
            return print_value
        own = cls.__dict__
        if "_repr_pretty_" in own and callable(cls._repr_pretty_):
            return cls._repr_pretty_
        if cls is not object and "__repr__" in own and callable(_attribute(cls, "__repr__")):
            return _as_repr
    return _as_object


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _as_repr(value: Any, p: Printer, cycle: bool) -> None:
    p.begin_group()
    for index, line in enumerate(repr(value).splitlines()):
        if index:
            p.break_()
        p.text(line)
    p.end_group()


def _as_object(value: Any, p: Printer, cycle: bool) -> Any:
    kind = _attribute(value, "__class__") or type(value)
    if _attribute(kind, "__repr__") is not object.__repr__:
        return _as_repr(value, p, cycle)
    p.begin_group(1, "<")
    p.pretty(kind)
    p.text(f" at 0x{id(value):x}")
    if cycle:
        p.text(" ...")
    p.end_group(1, ">")


def _sequence(start: Any, end: Any) -> Any:
    def print_value(value: Any, p: Printer, cycle: bool) -> Any:
        if cycle:
            return p.text(f"{start}...{end}")
        p.begin_group(len(start), start)
        for index, item in enumerate(value):
            if index:
                p.text(",")
                p.breakable()
            p.pretty(item)
        if len(value) == 1 and isinstance(value, tuple):
            p.text(",")
        p.end_group(len(start), end)

    return print_value


def _set(start: Any, end: Any) -> Any:
    def print_value(value: Any, p: Printer, cycle: bool) -> Any:
        if cycle:
            return p.text(f"{start}...{end}")
        if not value:
            return p.text(type(value).__name__ + "()")
        p.begin_group(len(start), start)
        for index, item in enumerate(_sorted(value)):
            if index:
                p.text(",")
                p.breakable()
            p.pretty(item)
        p.end_group(len(start), end)

    return print_value


def _sorted(values: Any) -> Any:
    values = list(values)
    for key in (None, str):
        try:
            return sorted(values, key=key)
        except Exception:
            pass
    return values


def _mapping(start: Any, end: Any) -> Any:
    def print_value(value: Any, p: Printer, cycle: bool) -> Any:
        if cycle:
            return p.text("{...}")
        p.begin_group(len(start), start)
        for index, key in enumerate(value.keys()):
            if index:
                p.text(",")
                p.breakable()
            p.pretty(key)
            p.text(": ")
            p.pretty(value[key])
        p.end_group(len(start), end)

    return print_value


class _Literal:
    """Text in the place of a value."""

    def __init__(self, text: str) -> None:
        self.text = text

    def _repr_pretty_(self, p: Printer, cycle: bool) -> None:
        p.text(self.text)


class _Call:
    """A call: a name and its arguments."""

    def __init__(self, name: str, *values: Any, **named: Any) -> None:
        self.name, self.values, self.named = name, values, named

    def _repr_pretty_(self, p: Printer, cycle: bool) -> None:
        start = self.name + "("
        p.begin_group(len(start), start)
        for index, (name, value) in enumerate([*((None, v) for v in self.values), *self.named.items()]):
            if index:
                p.text(",")
                p.breakable()
            if name is None:
                p.pretty(value)
            else:
                p.begin_group(len(name) + 1, name + "=")
                p.pretty(value)
                p.end_group(len(name) + 1)
        p.end_group(len(start), ")")


def _called(arguments: Any) -> Any:
    """Returns a printer of a value as a call of its class."""

    def print_value(value: Any, p: Printer, cycle: bool) -> None:
        values, named = ((_Literal("..."),), {}) if cycle else arguments(value)
        call = _Call(value.__class__.__name__, *values)
        call.named = named
        p.pretty(call)

    return print_value


def _super(value: Any, p: Printer, cycle: bool) -> None:
    p.begin_group(8, "<super: ")
    p.pretty(value.__thisclass__)
    p.text(",")
    p.breakable()
    p.pretty(value.__self__)
    p.end_group(8, ">")


_FLAGS = [(flag, f"re.{flag.name}") for flag in
          (re.IGNORECASE, re.LOCALE, re.MULTILINE, re.DOTALL, re.UNICODE, re.VERBOSE, re.DEBUG)]  # fmt: skip


def _pattern(value: Any, p: Printer, cycle: bool) -> None:
    text = _Literal("r" + repr(value.pattern).replace("\\\\", "\\"))
    flags = "|".join(name for flag, name in _FLAGS if value.flags & flag)
    p.pretty(_Call("re.compile", text, *([_Literal(flags)] if value.flags else [])))


def _namespace(value: Any, p: Printer, cycle: bool) -> None:
    call = _Call("namespace", *([_Literal("...")] if cycle else []))
    call.named = {} if cycle else dict(value.__dict__)
    p.pretty(call)


def _type(value: Any, p: Printer, cycle: bool) -> Any:
    # A metaclass may have a repr of its own.
    if next((m for m in type(value).__mro__ if "__repr__" in vars(m)), None) is not type:
        return _as_repr(value, p, cycle)
    module, name = _attribute(value, "__module__"), _attribute(value, "__qualname__")
    if not isinstance(name, str):
        name = value.__name__ if isinstance(value.__name__, str) else "<unknown type>"
    p.text(name if module in (None, "builtins", "exceptions") else f"{module}.{name}")


def _function(value: Any, p: Printer, cycle: bool) -> None:
    name, module = _attribute(value, "__qualname__") or value.__name__, value.__module__
    if module and module not in ("builtins", "exceptions"):
        name = f"{module}.{name}"
    try:
        name += str(inspect.signature(value, **_AS_WRITTEN))
    except ValueError:
        pass
    p.text(f"<function {name}>")


def _exception(value: Any, p: Printer, cycle: bool) -> None:
    kind = value.__class__
    name = getattr(kind, "__qualname__", kind.__name__)
    if kind.__module__ not in ("builtins", "exceptions"):
        name = f"{kind.__module__}.{name}"
    p.pretty(_Call(name, *getattr(value, "args", ())))


_BY_TYPE: dict[type, Any] = {
    **dict.fromkeys((int, float, str, bytes, range, slice, types.MethodType, datetime.datetime, datetime.timedelta,
                     bool, type(None), type(Ellipsis), type(NotImplemented)), _as_repr),
    tuple: _sequence("(", ")"),
    list: _sequence("[", "]"),
    dict: _mapping("{", "}"),
    set: _set("{", "}"),
    frozenset: _set("frozenset({", "})"),
    super: _super,
    re.Pattern: _pattern,
    type: _type,
    types.FunctionType: _function,
    types.BuiltinFunctionType: _function,
    types.SimpleNamespace: _namespace,
    BaseException: _exception,
    os._Environ: _mapping("environ{", "}"),
    types.MappingProxyType: _mapping("mappingproxy({", "})"),
}  # fmt: skip
# By module and name, as IPython looks for them.
_BY_NAME = {
    ("collections", "defaultdict"): _called(lambda value: ((value.default_factory, dict(value)), {})),
    ("collections", "OrderedDict"): _called(lambda value: ((list(value.items()),) if value else (), {})),
    ("collections", "deque"): _called(
        lambda value: ((list(value),), {} if value.maxlen is None else {"maxlen": value.maxlen})
    ),
    ("collections", "Counter"): _called(lambda value: ((dict(value.most_common()),) if value else (), {})),
    ("collections", "UserList"): _called(lambda value: ((value.data,), {})),
}
