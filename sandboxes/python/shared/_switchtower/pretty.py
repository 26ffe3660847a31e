"""Values as IPython's pretty printer lays them out: `repr`, broken over lines where it is wider than a screen.

A group of things is broken at all its places or at none, outer groups before inner ones. Objects may take part with
`_repr_pretty_(printer, cycle)`, so the printer's methods have the names that IPython documents.
"""

import collections
import contextlib
import datetime
import inspect
import os
import re
import types

try:
    from annotationlib import Format

    _AS_WRITTEN = {"annotation_format": Format.FORWARDREF}
except ImportError:
    _AS_WRITTEN = {}

WIDTH = 79
LONGEST = 1000
# Their repr has no line breaks, and nobody can change it.
_SCALARS = frozenset({int, float, complex, bool, str, bytes, type(None), range})
_BRACKETS = {list: ("[", "]"), tuple: ("(", ")")}


def pretty(value):
    """The text of a value."""
    kind = type(value)
    if kind in _SCALARS:
        return repr(value)
    brackets = _BRACKETS.get(kind)
    if brackets and len(value) > 1 and _SCALARS.issuperset(map(type, value)):
        return _row(value, *brackets)
    printer = Printer()
    printer.pretty(value)
    return printer.told()


def _row(values, start, end):
    """A list or tuple of scalars: one line, or a line for each."""
    parts = [*map(repr, values[:LONGEST])]
    if len(values) > LONGEST:
        parts.append("...")
    width = sum(map(len, parts)) + 2 * len(parts)
    return start + (", " if width <= WIDTH else ",\n ").join(parts) + end


class _Group:
    """Things that are broken together. `places` are those of its places that are still undecided."""

    __slots__ = ("broken", "depth", "places")

    def __init__(self, depth):
        self.depth, self.broken, self.places = depth, False, 0


class _Place:
    """A place for a line break."""

    __slots__ = ("group", "indentation", "text")

    def __init__(self, text, group, indentation):
        self.text, self.group, self.indentation = text, group, indentation


class Printer:
    """Writes text, and decides about line breaks no sooner than a line is full."""

    verbose = False
    newline = "\n"
    max_width = WIDTH
    max_seq_length = LONGEST

    def __init__(self):
        self._done = []
        self.output_width = 0  # of the last line that is done
        self.buffer = collections.deque()  # text and places that are undecided
        self.buffer_width = 0
        self.indentation = 0
        root = _Group(0)
        self.group_stack = [root]
        self._waiting = [[root]]  # groups that can be broken, by depth
        self._inside = []  # the identities of the values that are being printed

    def told(self):
        self.flush()
        return "".join(self._done)

    def text(self, text):
        """Adds literal text."""
        if self.buffer:
            self.buffer.append(text)
            self.buffer_width += len(text)
            self._break_outer_groups()
        else:
            self._done.append(text)
            self.output_width += len(text)

    def breakable(self, sep=" "):
        """Adds a place for a line break. Where none is made, `sep` stands there."""
        group = self.group_stack[-1]
        if group.broken:
            self.flush()
            self._new_line(self.indentation)
        else:
            group.places += 1
            self.buffer.append(_Place(sep, group, self.indentation))
            self.buffer_width += len(sep)
            self._break_outer_groups()

    def break_(self):
        """Adds a line break."""
        group = self._next_to_break()
        if group is not None:
            self._break(group)
        self.flush()
        self._new_line(self.indentation)

    def begin_group(self, indent=0, open=""):
        """Begins a group; its lines are indented by `indent`."""
        if open:
            self.text(open)
        group = _Group(self.group_stack[-1].depth + 1)
        self.group_stack.append(group)
        while len(self._waiting) <= group.depth:
            self._waiting.append([])
        self._waiting[group.depth].append(group)
        self.indentation += indent

    def end_group(self, dedent=0, close=""):
        """Ends the group that was begun last."""
        self.indentation -= dedent
        group = self.group_stack.pop()
        if not group.places:
            self._is_decided(group)
        if close:
            self.text(close)

    @contextlib.contextmanager
    def group(self, indent=0, open="", close=""):
        """A group around what the `with` statement holds."""
        self.begin_group(indent, open)
        try:
            yield
        finally:
            self.end_group(indent, close)

    @contextlib.contextmanager
    def indent(self, indent):
        """Indents what the `with` statement holds."""
        self.indentation += indent
        try:
            yield
        finally:
            self.indentation -= indent

    def flush(self):
        """Writes what is undecided as it is."""
        # IPython counts the width in twice here, and later lines break by it.
        for piece in self.buffer:
            self.output_width += self._write(piece)
        self.buffer.clear()
        self.buffer_width = 0

    def pretty(self, value):
        """Adds a value."""
        if type(value) in _SCALARS:
            text = repr(value)
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
            return _way(value)(value, self, cycle)
        finally:
            self.end_group()
            self._inside.pop()

    def _enumerate(self, values):
        for index, value in enumerate(values):
            if index >= self.max_seq_length:
                self.text(",")
                self.breakable()
                self.text("...")
                return
            yield index, value

    def _break_outer_groups(self):
        while self.max_width < self.output_width + self.buffer_width:
            group = self._next_to_break()
            if group is None:
                return
            self._break(group)

    def _next_to_break(self):
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

    def _break(self, group):
        buffer = self.buffer
        while group.places:
            self._let_go(buffer.popleft())
        while buffer and type(buffer[0]) is not _Place:
            self._let_go(buffer.popleft())

    def _let_go(self, piece):
        self.buffer_width -= len(piece.text) if type(piece) is _Place else len(piece)
        self.output_width = self._write(piece)

    def _write(self, piece):
        """Writes text or a place. The width of the line then."""
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

    def _new_line(self, indentation):
        self._done.append(self.newline + " " * indentation)
        self.output_width = indentation

    def _is_decided(self, group):
        groups = self._waiting[group.depth]
        if group in groups:
            groups.remove(group)


def _way(value):
    """How a value is printed: by the first of its classes that is known or says something itself."""
    kind = _attribute(value, "__class__") or type(value)
    for cls in getattr(kind, "__mro__", (kind,)):
        way = _BY_TYPE.get(cls) or _BY_NAME.get((_attribute(cls, "__module__"), _attribute(cls, "__name__")))
        if way is not None:
            return way
        own = cls.__dict__
        if "_repr_pretty_" in own and callable(cls._repr_pretty_):
            return cls._repr_pretty_
        if cls is not object and "__repr__" in own and callable(_attribute(cls, "__repr__")):
            return _as_repr
    return _as_object


def _attribute(value, name):
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _as_repr(value, p, cycle):
    p.begin_group()
    for index, line in enumerate(repr(value).splitlines()):
        if index:
            p.break_()
        p.text(line)
    p.end_group()


def _as_object(value, p, cycle):
    kind = _attribute(value, "__class__") or type(value)
    if _attribute(kind, "__repr__") is not object.__repr__:
        return _as_repr(value, p, cycle)
    p.begin_group(1, "<")
    p.pretty(kind)
    p.text(f" at 0x{id(value):x}")
    if cycle:
        p.text(" ...")
    p.end_group(1, ">")


def _sequence(start, end):
    def way(value, p, cycle):
        if cycle:
            return p.text(f"{start}...{end}")
        p.begin_group(len(start), start)
        for index, item in p._enumerate(value):
            if index:
                p.text(",")
                p.breakable()
            p.pretty(item)
        if len(value) == 1 and isinstance(value, tuple):
            p.text(",")
        p.end_group(len(start), end)

    return way


def _set(start, end):
    def way(value, p, cycle):
        if cycle:
            return p.text(f"{start}...{end}")
        if not value:
            return p.text(type(value).__name__ + "()")
        p.begin_group(len(start), start)
        for index, item in p._enumerate(_sorted(value) if len(value) < p.max_seq_length else value):
            if index:
                p.text(",")
                p.breakable()
            p.pretty(item)
        p.end_group(len(start), end)

    return way


def _sorted(values):
    values = list(values)
    for key in (None, str):
        try:
            return sorted(values, key=key)
        except Exception:
            pass
    return values


def _mapping(start, end):
    def way(value, p, cycle):
        if cycle:
            return p.text("{...}")
        p.begin_group(len(start), start)
        for index, key in p._enumerate(value.keys()):
            if index:
                p.text(",")
                p.breakable()
            p.pretty(key)
            p.text(": ")
            p.pretty(value[key])
        p.end_group(len(start), end)

    return way


class _Literal:
    """Text that stands where a value could."""

    def __init__(self, text):
        self.text = text

    def _repr_pretty_(self, p, cycle):
        p.text(self.text)


class _Call:
    """A call: a name and its arguments."""

    def __init__(self, name, *values, **named):
        self.name, self.values, self.named = name, values, named

    def _repr_pretty_(self, p, cycle):
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


def _called(arguments):
    """As a call of the value's class with the arguments that make it."""

    def way(value, p, cycle):
        values, named = ((_Literal("..."),), {}) if cycle else arguments(value)
        call = _Call(value.__class__.__name__, *values)
        call.named = named
        p.pretty(call)

    return way


def _super(value, p, cycle):
    p.begin_group(8, "<super: ")
    p.pretty(value.__thisclass__)
    p.text(",")
    p.breakable()
    p.pretty(value.__self__)
    p.end_group(8, ">")


_FLAGS = [(flag, "re." + flag.name) for flag in
          (re.IGNORECASE, re.LOCALE, re.MULTILINE, re.DOTALL, re.UNICODE, re.VERBOSE, re.DEBUG)]  # fmt: skip


def _pattern(value, p, cycle):
    text = _Literal("r" + repr(value.pattern).replace("\\\\", "\\"))
    flags = "|".join(name for flag, name in _FLAGS if value.flags & flag)
    p.pretty(_Call("re.compile", text, *([_Literal(flags)] if value.flags else [])))


def _namespace(value, p, cycle):
    call = _Call("namespace", *([_Literal("...")] if cycle else []))
    call.named = {} if cycle else dict(value.__dict__)
    p.pretty(call)


def _type(value, p, cycle):
    # A metaclass may have a repr of its own.
    if next((m for m in type(value).__mro__ if "__repr__" in vars(m)), None) is not type:
        return _as_repr(value, p, cycle)
    module, name = _attribute(value, "__module__"), _attribute(value, "__qualname__")
    if not isinstance(name, str):
        name = value.__name__ if isinstance(value.__name__, str) else "<unknown type>"
    p.text(name if module in (None, "builtins", "exceptions") else f"{module}.{name}")


def _function(value, p, cycle):
    name, module = _attribute(value, "__qualname__") or value.__name__, value.__module__
    if module and module not in ("builtins", "exceptions"):
        name = f"{module}.{name}"
    try:
        name += str(inspect.signature(value, **_AS_WRITTEN))
    except ValueError:
        pass
    p.text(f"<function {name}>")


def _exception(value, p, cycle):
    kind = value.__class__
    name = getattr(kind, "__qualname__", kind.__name__)
    if kind.__module__ not in ("builtins", "exceptions"):
        name = f"{kind.__module__}.{name}"
    p.pretty(_Call(name, *getattr(value, "args", ())))


_BY_TYPE = {
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
# Classes of these names print so, and by what IPython looks for: not by what they are.
_BY_NAME = {
    ("collections", "defaultdict"): _called(lambda value: ((value.default_factory, dict(value)), {})),
    ("collections", "OrderedDict"): _called(lambda value: ((list(value.items()),) if value else (), {})),
    ("collections", "deque"): _called(
        lambda value: ((list(value),), {} if value.maxlen is None else {"maxlen": value.maxlen})
    ),
    ("collections", "Counter"): _called(lambda value: ((dict(value.most_common()),) if value else (), {})),
    ("collections", "UserList"): _called(lambda value: ((value.data,), {})),
}
