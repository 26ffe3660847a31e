"""Canonical digests: equal for equal state, whatever the Python version, the word size or the hash seed.

Both sides of a promotion run this very text: the guest imports it, and `carry.tell` sends it along to the cloud kernel.
So it imports only what every kernel has, and knows nothing of the guest but what a `View` tells it.
"""

import collections
import copyreg
import datetime
import decimal
import enum
import fractions
import functools
import gc
import hashlib
import io
import linecache
import pathlib
import pickle
import re
import struct
import sys
import types
import weakref

ATOMS = frozenset({int, bool, float, str, bytes, type(None)})
_PLAIN = ATOMS | {list, dict, tuple}
_DEEPEST = 40  # the C pickler recurses, and looks for cycles from 50 on
_WIDEST = 20_000_000

# Of a class, what Python itself puts there and changes from version to version.
CLASS_OWN = frozenset(
    "__dict__ __weakref__ __module__ __doc__ __firstlineno__ __static_attributes__ __annotations__ __annotate__ "
    "__annotate_func__ __annotations_cache__ __abstractmethods__ _abc_impl __classcell__ __match_args__ __qualname__ "
    "__dataclass_params__ __dataclass_fields__ __type_params__ __orig_bases__ __parameters__ __hash__ __slots__ "
    "__replace__ _is_protocol _is_runtime_protocol __protocol_attrs__ __callable_proto_members_only__ "
    "__non_callable_proto_members__ __dataclass_transform__".split()
)
# Of an object whose class is the program's own, the contents that a base class in C keeps.
_CONTENTS = (list, dict, set, frozenset, tuple, str, int, float, bytes, bytearray, complex)
_BASES = frozenset({object, *_CONTENTS, collections.deque})
_BUILTIN = type(len)
_SLOT = type(type.__dict__["__name__"]), types.MemberDescriptorType
_ITERATORS = (zip, map, filter, enumerate, reversed)
_FILES = (io.FileIO, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper)
# Generators whose methods are a module's functions: the module, where the generator is, and its name there.
_GENERATORS = ("random", "random", "_inst"), ("numpy.random", "numpy.random.mtrand", "_rand")
_VALUES = (decimal.Decimal, fractions.Fraction, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo,
           pathlib.PurePath, complex)


class View:
    """Where the program's own things live: its modules, and which cell a file name stands for."""

    def __init__(self, main, files, homes=(), baseline=(), alias=None, known=frozenset()):
        self.files = files
        self.modules = {"__main__": main}
        # Libraries that were there before the program are many, and looking at each takes longer than all the rest.
        for name in sys.modules.keys() - known - {"__main__"}:
            module = sys.modules[name]
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and file.startswith(tuple(homes)):
                if "site-packages" not in file and "/lib/python" not in file and not name.startswith("_switchtower"):
                    self.modules[name] = module
        self.alias = alias
        self._sources = {module.__file__ for name, module in self.modules.items() if name != "__main__"}
        self.streams = {id(getattr(sys, name)): name
                        for name in ("__stdout__", "__stderr__", "__stdin__", "stdout", "stderr", "stdin")}
        self._baseline, self.shapes, self.encodings = baseline, {}, {}
        self.kept = []  # what was made on the way keeps its id

    def roots(self):
        """Key and value of all that the program named. A key with a dot is a name in a module of the program's."""
        found = {}
        main = self.modules["__main__"].__dict__
        for name, value in list(main.items()):
            if not reserved(name) and name not in self._baseline:
                found[name] = value
        for module in self.modules:
            if module != "__main__":
                for name, value in list(self.modules[module].__dict__.items()):
                    if not (name.startswith("__") and name.endswith("__")):
                        found[f"{module}.{name}"] = value
        shown = main.get("Out")
        if isinstance(shown, dict):
            found.update((f"Out[{number}]", value) for number, value in list(shown.items()))
        return found

    def place(self, key):
        """The dictionary in which a root is bound, and its name there."""
        if key.startswith("Out["):
            return self.modules["__main__"].__dict__["Out"], int(key[4:-1])
        module, _, name = key.rpartition(".")
        return self.modules[module or "__main__"].__dict__, name

    def named(self, thing):
        """The key by which a function or class of the program's is found, or none."""
        module = self.modules.get(getattr(thing, "__module__", None))
        if module is None:
            return None
        path = getattr(thing, "__qualname__", "<")
        found = module
        if "<" in path:
            return None
        for part in path.split("."):
            found = found.__dict__.get(part) if isinstance(found, (type, types.ModuleType)) else None
        if isinstance(found, (staticmethod, classmethod)):
            found = found.__func__
        return (path if module.__name__ == "__main__" else f"{module.__name__}.{path}") if found is thing else None

    def public(self, thing):
        """Module and name of a library's function or class, as a program knows it; none if it has no such name."""
        # Before the alias: the guest's unseeded generator gives its methods away and then becomes another.
        for module, holder, name in _GENERATORS:
            shared = getattr(sys.modules.get(holder), name, None)
            if shared is not None and getattr(thing, "__self__", None) is shared:
                return module, thing.__name__
        if self.alias is not None and str(getattr(thing, "__module__", None)).startswith("_switchtower"):
            return self.alias(thing)
        return None

    def cell(self, code):
        return self.files.get(code.co_filename)

    def wrote(self, function):
        """Whether the program wrote a function, rather than that a library made it."""
        file = function.__code__.co_filename
        return file in self._sources or self.files.get(file) is not None


def reserved(name):
    """Whether a name in `__main__` is the kernel's, not the program's."""
    if not isinstance(name, str) or name in ("In", "Out", "exit", "quit", "get_ipython", "display"):
        return True
    if name.startswith("_"):
        rest = name.lstrip("_")
        return not rest or rest in ("i", "ii", "iii", "ih", "oh", "dh") or rest.removeprefix("i").isdigit() or (
            name.startswith("__") and name.endswith("__")) or name.startswith("_switchtower")
    return False


class Text:
    """Bytes between two values on the encoder's stack."""

    __slots__ = ("bytes",)

    def __init__(self, text):
        self.bytes = text


class Whole:
    """A function or class that is to be told with its contents, although it has a name."""

    __slots__ = ("thing",)

    def __init__(self, thing):
        self.thing = thing


_END = Text(b"end")


class Shape:
    """What objects of one class hold, looked up once."""

    def __init__(self, view, kind):
        lines = kind.__mro__
        # Whether all that they hold can be seen without asking them.
        self.plain = all(
            base in _BASES or base.__module__ in view.modules or base.__module__ in ("typing", "abc")
            or issubclass(base, BaseException) and base.__module__ == "builtins" for base in lines)
        self.content = next((base for base in _CONTENTS if base in lines), None)
        self.slots = [(name.encode(), slot) for base in lines if base not in _BASES
                      for name, slot in sorted(vars(base).items()) if type(slot) is types.MemberDescriptorType]
        self.cached = frozenset(name for base in lines for name, inside in vars(base).items()
                                if isinstance(inside, functools.cached_property))
        self.open = kind.__dictoffset__ != 0


class Encoder:
    """Encodes values that may share, one after another, into one digest.

    A loose encoder leaves the insides of libraries' objects out: their pickles differ between versions.
    """

    def __init__(self, view, loose=False):
        self.view, self.loose = view, loose
        self.memo = {}  # id -> number: all that can change, so that it matters who shares it
        self.opaque = {}  # key -> what cannot be compared there
        self.lossy = {}  # key -> what a pickle would leave out there
        self.library = False
        self._hash = hashlib.blake2b(digest_size=16)
        self._text, self._stack, self._key = [], [], None
        self._tuples, self._again = set(), 0
        self._pickler = None

    def digest(self):
        self._flush()
        return self._hash.hexdigest()

    def alone(self, key, value):
        """A root that shares with no other one."""
        told = _plain(value)
        if told is None:
            self.root(key, value)
        else:
            self.memo = told
            self._say(b"P" + key.encode() + b"\n")
            self._dump(value)
        return self

    def root(self, key, value):
        self._key = key
        self._say(b"=" + key.encode("utf-8", "surrogatepass") + b"\n")
        if isinstance(value, (types.FunctionType, type)) and self.view.named(value) in (key, None):
            value = Whole(value)
        try:
            self._run(value)
        except Exception:  # classes can refuse whatever they are asked
            self._stack.clear()
            self._unlike(value, "an object that cannot be looked at")
            self.lossy.setdefault(key, "an object that cannot be looked at")

    def _run(self, value):
        stack = self._stack
        stack.append(value)
        memo, table, known = self.memo, _TABLE, self.view.encodings
        while stack:
            value = stack.pop()
            encode = table.get(type(value)) or known.get(type(value))
            if encode is None:
                encode = known[type(value)] = _encoding(value)
            if encode is _memoized or encode in _SHARED:
                number = memo.get(id(value))
                if number is not None:
                    self._say(b"@%d;" % number)
                    continue
                memo[id(value)] = len(memo)
                self.view.kept.append(value)
            encode(self, value)

    def _say(self, text):
        self._text.append(text)
        if len(self._text) > 2000:
            self._flush()

    def _flush(self):
        self._hash.update(b"".join(self._text))
        self._text.clear()

    def _dump(self, value):
        """What has no sharing and no sets goes through the C pickler, which is many times faster."""
        self._flush()
        if self._pickler is None:
            self._pickler = pickle.Pickler(_Sink(self._hash), 4)
            self._pickler.fast = True
        self._pickler.dump(value)

    def _push(self, values):
        self._stack.extend(reversed(values))

    def _unlike(self, value, what, about=b""):
        """Something whose state cannot be seen."""
        self._say(b"?%s %s;" % (type(value).__name__.encode(), about))
        self.opaque.setdefault(self._key, what)

    def _global(self, value):
        module, name = self.view.public(value) or (
            getattr(value, "__module__", None) or "builtins", getattr(value, "__qualname__", None) or value.__name__)
        # Only the package: libraries move things between their own modules.
        self._say(f"g{str(module).partition('.')[0].lstrip('_')}:{name};".encode())

    def _function(self, value):
        if self.view.public(value):
            return self._global(value)
        if not self.view.wrote(value):
            found = sys.modules.get(value.__module__)
            for part in value.__qualname__.split("."):
                found = getattr(found, part, None)
            self._global(value)
            if found is not value:  # a closure that a library made
                self._push([*(value.__closure__ or ()), {k: v for k, v in vars(value).items() if k[:2] != "__"}])
            return None
        name = self.view.named(value)
        if name is not None:
            return self._say(b"f%s;" % name.encode())
        return self._whole(Whole(value))

    def _class(self, value):
        if self.view.modules.get(value.__module__) is None:
            return self._global(value)
        name = self.view.named(value)
        if name is not None:
            return self._say(b"c%s;" % name.encode())
        return self._whole(Whole(value))

    def _whole(self, wrapped):
        value = wrapped.thing
        number = self.memo.get(id(value))
        if number is not None:
            return self._say(b"@%d;" % number)
        foreign = self.view.modules.get(value.__module__) is None
        if isinstance(value, type):
            if foreign:
                return self._global(value)
            self.memo[id(value)] = len(self.memo)
            return self._whole_class(value)
        code = value.__code__
        cell = self.view.cell(code)
        if not self.view.wrote(value) or self.view.public(value):
            return self._function(value)
        self.memo[id(value)] = len(self.memo)
        self._say(f"F{value.__qualname__} {cell} {code.co_firstlineno} {code.co_argcount};".encode())
        if value.__name__ == "<lambda>":
            self._say(" ".join(sorted(_names(code))).encode() + b";")
            if linecache.getline(code.co_filename, code.co_firstlineno).count("lambda") > 1:
                self.opaque.setdefault(self._key, "a lambda that shares its line with another one")
                self.lossy.setdefault(self._key, "a lambda that shares its line with another one")
        attributes = {k: v for k, v in vars(value).items() if k not in CLASS_OWN}
        self._push([value.__defaults__, value.__kwdefaults__, Text(b"cells"), *_cells(value), attributes])
        return None

    def _whole_class(self, value):
        self._say(f"C{value.__qualname__};".encode())
        parts = [*value.__bases__]
        if type(value) is not enum.EnumMeta:  # which has two names
            parts.append(type(value))
        if isinstance(value, enum.EnumMeta):
            parts += [Text(b"members"), {name: member._value_ for name, member in value.__members__.items()}]
        for name, inside in sorted(vars(value).items()):
            own = owned(self.view, value, name, inside)
            if own is not None:
                parts += [Text(name.encode()), *own]
        self._push(parts)

    def _cell(self, value):
        try:
            self._push([Text(b"cell"), value.cell_contents])
        except ValueError:
            self._say(b"empty cell;")

    def _list(self, value):
        if set(map(type, value)) <= ATOMS:
            self._say(b"L")
            self._dump(value)
        else:
            self._say(b"l%d;" % len(value))
            self._stack.extend(reversed(value))

    def _tuple(self, value):
        # Whether equal tuples are one is the compiler's affair, so they are told each time; but not without end.
        if id(value) in self._tuples:
            self._again += 1
            if self._again > 200_000:
                self.memo.setdefault(id(value), len(self.memo))
                return self._say(b"@%d;" % self.memo[id(value)])
        else:
            self._tuples.add(id(value))
            self.view.kept.append(value)
        self._say(b"t%d;" % len(value))
        self._stack.extend(reversed(value))
        return None

    def _dict(self, value):
        if set(map(type, value)) <= ATOMS and set(map(type, dict.values(value))) <= ATOMS and type(value) is dict:
            self._say(b"D")
            self._dump(value)
        else:
            self._say(b"d%d;" % len(value))
            self._push([part for pair in dict.items(value) for part in pair])

    def _set(self, value):
        self._say((b"s%d;" if isinstance(value, set) else b"z%d;") % len(value))
        self._push(self.sorted(value))

    def sorted(self, value):
        """A set's elements, in an order that does not depend on hashes."""
        kinds = set(map(type, value))
        if len(kinds) < 2 and kinds <= {str, int, bytes}:
            return sorted(value)
        known = {}

        def place(element):
            encoder = Encoder(self.view, self.loose)
            encoder._key = self._key
            encoder._run(element)
            known[id(element)] = encoder.digest()
            return known[id(element)]

        return sorted(value, key=place)

    def _object(self, value, shape):
        """An object of a class of the program's own: all that it holds, whatever its `__reduce__` says."""
        self._say(b"o")
        parts = [type(value)]
        if shape.content is not None:
            parts += [Text(shape.content.__name__.encode()), _content(shape.content, value)]
        elif isinstance(value, BaseException):
            parts += _raised(self, value)
        elif isinstance(value, collections.deque):
            parts += [value.maxlen, *collections.deque.__iter__(value)]
        for name, slot in shape.slots:
            try:
                parts += [Text(name), slot.__get__(value)]
            except AttributeError:
                pass
        if shape.open:
            attributes = object.__getattribute__(value, "__dict__")
            if type(attributes) is dict:
                self.memo.setdefault(id(attributes), len(self.memo))
                for name, inside in attributes.items():
                    if name not in shape.cached:
                        parts += (name, inside)
        parts.append(_END)
        self._push(parts)

    def _reduced(self, value):
        """A library's object, through what it tells the pickler."""
        if self.loose:
            return self._push([Text(b"library"), type(value)])
        self.library = True
        try:
            made = copyreg.dispatch_table.get(type(value))
            parts = made(value) if made else value.__reduce_ex__(4)
        except Exception:
            return self._unlike(value, _a(type(value).__name__))
        if isinstance(parts, str):
            return self._say(b"r%s;" % parts.encode())
        self.view.kept.append(parts)
        call, arguments, state, items, pairs = (*parts, None, None, None)[:5]
        self._push([Text(b"R"), call, arguments, state, items and list(items), pairs and [list(p) for p in pairs]])
        return None

    def _suspended(self, value):
        """A generator or coroutine: where it stands can be seen, but not all that it holds."""
        prefix = {"generator": "gi", "coroutine": "cr", "async_generator": "ag"}[type(value).__name__]
        code, frame = getattr(value, prefix + "_code"), getattr(value, prefix + "_frame")
        line = frame.f_lineno if frame is not None else "ended"
        self._unlike(value, _a(type(value).__name__.replace("_", " ")),
                     f"{value.__qualname__} {self.view.cell(code)} {line}".encode())
        if frame is not None:
            seen = {k: v for k, v in frame.f_locals.items() if k not in code.co_freevars}
            self._push([part for name in sorted(seen) for part in (Text(name.encode()), seen[name])])


class _Sink:
    __slots__ = ("write",)

    def __init__(self, into):
        self.write = into.update


def _plain(value):
    """The ids of all lists and dictionaries in a value, if it is a tree of plain data; else none."""
    if type(value) not in (list, dict, tuple):
        return None
    level, seen, total = [value], set(), 0
    for _ in range(_DEEPEST):
        places = [id(each) for each in level if type(each) is not tuple]
        before = len(seen)
        seen.update(places)
        if len(seen) - before != len(places):
            return None  # shared
        inside = gc.get_referents(*level)
        kinds = set(map(type, inside))
        if not kinds <= _PLAIN or (total := total + len(inside)) > _WIDEST:
            return None
        if kinds <= ATOMS:
            return dict.fromkeys(seen, 0)
        level = [each for each in inside if type(each) not in ATOMS]
    return None


def _a(what):
    return ("an " if what[:1].lower() in "aeiou" else "a ") + what


def _content(base, value):
    if base is dict:
        return dict(dict.items(value))
    if base in (str, int, float, complex):
        return base.__getnewargs__(value)[0] if base is not int else int.__index__(value) + 0
    return base(base.__iter__(value)) if base is not bytearray else bytes(value)


def _raised(encoder, error):
    if error.__traceback__ or error.__cause__ or error.__context__:
        encoder.lossy.setdefault(encoder._key, "an exception with its traceback")
    return [Text(b"raised"), list(error.args), error.__cause__, error.__context__, error.__suppress_context__]


def _names(code):
    names = {*code.co_names, *code.co_varnames, *code.co_freevars}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return {name for name in names if not name.startswith(".")}


def _cells(function):
    return [Text(name.encode()) if turn else cell
            for name, cell in sorted(zip(function.__code__.co_freevars, function.__closure__ or ()), key=lambda p: p[0])
            for turn in (True, False)]


def owned(view, kind, name, inside):
    """What of a class's attribute the program wrote itself, as a list of values; none where Python or a library did."""
    if name in CLASS_OWN or isinstance(kind, enum.EnumMeta) and (
            name.startswith("_") or name in kind.__members__ or isinstance(inside, types.DynamicClassAttribute)):
        return None
    if isinstance(inside, (staticmethod, classmethod)):
        inside = inside.__func__
    if isinstance(inside, property):
        return [part and Whole(part) if isinstance(part, types.FunctionType) else part
                for part in (inside.fget, inside.fset, inside.fdel)]
    if isinstance(inside, functools.cached_property):
        return [Whole(inside.func)]
    if isinstance(inside, types.FunctionType):
        while not view.wrote(inside) and isinstance(getattr(inside, "__wrapped__", None), types.FunctionType):
            inside = inside.__wrapped__
        return [Whole(inside)] if view.wrote(inside) else None
    if isinstance(inside, type):
        return [Whole(inside)]
    if name.startswith("__") and name.endswith("__") or type(inside) in (*_SLOT, _BUILTIN):
        return None
    if type(inside).__module__ in ("collections", "_collections") and type(inside).__name__ == "_tuplegetter":
        return None
    return [inside]


def data_attributes(view, kind):
    """The attributes of a class that are data."""
    found = {}
    for name, inside in list(vars(kind).items()):
        if not isinstance(inside, (types.FunctionType, staticmethod, classmethod, property, type)):
            own = owned(view, kind, name, inside)
            if own is not None and len(own) == 1 and own[0] is inside:
                found[name] = inside
    return found


def _encoding(value):
    """How a value of a type that is not in the table is told."""
    kind = type(value)
    if isinstance(value, type):
        return Encoder._class
    if isinstance(value, enum.Enum):
        return _member
    if kind.__module__ not in ("__main__",) and kind.__module__ not in _OWN:
        package = kind.__module__.partition(".")[0]
        known = _NUMPY if package == "numpy" else _PANDAS if package == "pandas" else ()
        for name, encode in known:
            found = getattr(sys.modules[package], name, None)
            if isinstance(found, type) and issubclass(kind, found):
                return encode
        if package == "pandas" and hasattr(kind, "_from_sequence"):
            return _column
        if package == "numpy" and kind.__name__ in ("Generator", "RandomState"):
            return _generator
        if package == "numpy" and hasattr(kind, "random_raw"):
            return _bits
        if isinstance(value, _VALUES):
            return _value
        if isinstance(value, _FILES):
            return _file
        if kind.__module__ == "itertools" or kind in _ITERATORS:
            return _iterator
        if kind.__module__ == "typing" or kind in (types.GenericAlias, getattr(types, "UnionType", None)):
            return _annotation
        if kind.__module__.partition(".")[0] == "sympy" and hasattr(value, "args"):
            return _formula
        if kind in (type(iter(range(1))), type(iter(range(1 << 99)))):
            return _range
        if isinstance(value, BaseException):
            return _memoized
        if kind.__module__ in ("_asyncio", "asyncio.futures", "asyncio.tasks") and hasattr(kind, "cancelled"):
            return _future
        if kind.__name__ in ("lock", "RLock") and kind.__module__ in ("_thread", "threading"):
            return _lock
        if kind.__module__ == "random" and kind.__name__ == "SystemRandom":
            return _stateless
    return _memoized


def _memoized(encoder, value):
    kind, view = type(value), encoder.view
    shape = view.shapes.get(kind)
    if shape is None:
        shape = view.shapes[kind] = Shape(view, kind)
    if id(value) in view.streams:
        encoder._say(b"stream %s;" % view.streams[id(value)].strip("_").encode())
    elif shape.plain:
        encoder._object(value, shape)
    else:
        encoder._reduced(value)


def _member(encoder, value):
    # What the name of several flags together is depends on the version.
    encoder._push([Text(b"member"), type(value), value._value_ if isinstance(value, enum.Flag) else value._name_])


def _value(encoder, value):
    """Values that cannot change, in words that every version has."""
    zone = getattr(value, "tzinfo", None)
    encoder._say(f"v{type(value).__name__}:{_words(value)};".encode())
    if zone is not None:
        encoder._stack.append(zone)


def _words(value):
    if isinstance(value, decimal.Decimal):
        return value.as_tuple()[0:3]
    if isinstance(value, fractions.Fraction):
        return f"{value.numerator:x}/{value.denominator:x}"
    if isinstance(value, datetime.tzinfo):
        return repr(value)
    if isinstance(value, complex):
        return struct.pack(">dd", value.real, value.imag).hex()
    if isinstance(value, (datetime.datetime, datetime.time)):
        return f"{value.replace(tzinfo=None).isoformat()} {value.fold}"
    return repr(value) if isinstance(value, datetime.timedelta) else str(value)


def _file(encoder, value):
    if id(value) in encoder.view.streams:
        return _memoized(encoder, value)
    return encoder._unlike(value, "an open file" if not value.closed else "a closed file",
                           f"{getattr(value, 'name', '')} {getattr(value, 'mode', '')} {value.closed}".encode())


def _iterator(encoder, value):
    what = _a(f"{type(value).__name__} iterator")
    encoder._unlike(value, what)
    if type(value).__module__ == "itertools":  # 3.14 pickles them no more
        encoder.lossy.setdefault(encoder._key, what)


def _range(encoder, value):
    """An iterator over a range: versions tell in two ways what is left."""
    _, (left,), *state = value.__reduce__()
    left = left[state[0]:] if state and state[0] else left
    encoder._push([Text(b"left of a range"), left.start, left.stop, left.step])


def _annotation(encoder, value):
    encoder._say(b"annotation;")  # the source made it, and versions write it in many ways


def _formula(encoder, value):
    try:
        encoder._say(f"y{sys.modules['sympy'].srepr(value)};".encode())
    except Exception:
        _memoized(encoder, value)


def _lock(encoder, value):
    locked = value.locked() if hasattr(value, "locked") and type(value).__name__ == "lock" else ""
    encoder._unlike(value, "a lock", str(locked).encode())


def _future(encoder, value):
    """A task that ended is what it gave; one that still runs is like no other one."""
    if not value.done():
        encoder._unlike(value, "a task that still runs", str(id(value)).encode())
    elif value.cancelled():
        encoder._unlike(value, "a task", b"cancelled")
    else:
        failed = value.exception()
        encoder._unlike(value, "a task")
        encoder._stack.append(failed if failed is not None else value.result())


def _stateless(encoder, value):
    encoder._push([Text(b"stateless"), type(value)])


def _float(encoder, value):
    encoder._say(b"n" + (struct.pack(">d", value) if value == value else b"nan"))


def _str(encoder, value):
    told = value.encode("utf-8", "surrogatepass")
    encoder._say(b"u%d:" % len(told))
    encoder._say(told)


def _bytes(encoder, value):
    encoder._say(b"b%d:" % len(value))
    encoder._say(bytes(value))


def _int(encoder, value):
    encoder._say(b"i%x;" % value)


def _bound(encoder, value):
    if encoder.view.public(value):
        return encoder._global(value)
    encoder._push([Text(b"bound"), value.__self__, value.__func__.__name__, value.__func__])
    return None


def _builtin(encoder, value):
    self = value.__self__
    if self is None or isinstance(self, types.ModuleType) or encoder.view.public(value):
        encoder._global(value)
    else:
        encoder._push([Text(b"bound"), self, value.__name__])


def _match(encoder, value):
    encoder._push([Text(b"match"), value.re.pattern, value.re.flags, value.string, value.pos, value.endpos, value.regs])


def _pattern(encoder, value):
    encoder._push([Text(b"pattern"), value.pattern, value.flags])


def _cached(encoder, value):
    encoder._push([Text(b"cached"), Whole(value.__wrapped__) if type(value.__wrapped__) is types.FunctionType
                   else value.__wrapped__, repr(sorted(value.cache_parameters().items()))])


def owner(value):
    """The array whose memory another one is a view of, where a view of the same bytes can be made anew; else none."""
    base = value.base
    if type(value) is type(base) and type(base).__name__ == "ndarray" and value.size and base.flags.c_contiguous:
        if not base.dtype.hasobject and not value.dtype.hasobject:
            return base
    return None


def offset(value, base):
    """Where in it the view begins, in bytes."""
    return value.__array_interface__["data"][0] - base.__array_interface__["data"][0]


def _array(encoder, value):
    """An array: its type, shape and bytes; a view is a place in another one."""
    kind = type(value).__name__
    if kind == "MaskedArray":
        return encoder._push([Text(b"masked"), value.data, value.mask, value.fill_value])
    if kind == "memmap":
        encoder.lossy.setdefault(encoder._key, "an array in a file")
    encoder._say(f"array {kind} {_dtype(value.dtype)} {value.shape};".encode())
    base = owner(value)
    if base is not None:
        return encoder._push([Text(b"at"), offset(value, base), value.strides, base])
    if hasattr(value.base, "dtype") and value.size:
        encoder.lossy.setdefault(encoder._key, "a view of another array")
    return _items(encoder, value)


def _items(encoder, value):
    """What is in an array."""
    kind = value.dtype.kind
    if kind in "OT" or value.dtype.names or kind in "fc" and value.dtype.itemsize > (8 if kind == "f" else 16):
        # Objects, text of any length, and what has bytes between its values.
        return encoder._push([value.astype(object).ravel().tolist() if kind in "fc" else value.ravel().tolist()])
    encoder._say(b"%d:" % value.nbytes)
    encoder._flush()
    encoder._hash.update(value.tobytes())
    return None


def _dtype(value):
    return repr(value.descr) if value.names else value.str if value.kind != "T" else str(value)


def _dtype_of(encoder, value):
    encoder._say(f"dtype {_dtype(value)};".encode())


def _scalar(encoder, value):
    encoder._say(f"scalar {_dtype(value.dtype)};".encode())
    _items(encoder, sys.modules["numpy"].asarray(value))


def _generator(encoder, value):
    parts = [Text(b"generator"), type(value)]
    if hasattr(value, "bit_generator"):
        return encoder._push([*parts, value.bit_generator])
    state = value.get_state(legacy=False)
    return encoder._push([*parts, state.get("has_gauss"), state.get("gauss"), value._bit_generator])


def _bits(encoder, value):
    state = value.state
    encoder.view.kept.append(state)
    seeds = getattr(value, "seed_seq", None)
    encoder._push([Text(b"bits"), type(value), state, getattr(seeds, "n_children_spawned", None)])


def _frame(encoder, value):
    """A table: its axes and its columns. Who made it of what blocks is nobody's affair."""
    columns = [value.iloc[:, number].array for number in range(value.shape[1])]
    encoder.view.kept.append(columns)
    encoder._push([Text(b"frame"), type(value), value.columns, value.index, dict(value.attrs), *columns])


def _series(encoder, value):
    encoder._push([Text(b"series"), type(value), value.name, value.index, dict(value.attrs), value.array])


def _index(encoder, value):
    told = [Text(b"index"), Text(type(value).__name__.encode()), list(value.names)]
    if hasattr(value, "levels"):
        return encoder._push([*told, *value.levels, *(list(map(int, codes)) for codes in value.codes)])
    if hasattr(value, "step"):
        return encoder._push([*told, value.start, value.stop, value.step])
    return encoder._push([*told, getattr(value, "freqstr", None), value.array])


def _column(encoder, value):
    """An array of pandas', by the numbers under it where they are all there is."""
    encoder._say(f"column {value.dtype};".encode())
    if hasattr(value, "categories") and hasattr(value, "codes"):
        return encoder._push([value.categories, value.ordered, list(map(int, value.codes))])
    if hasattr(value, "asi8"):
        return _items(encoder, value.asi8)
    if hasattr(value, "_ndarray") and value.dtype == value._ndarray.dtype:
        return _items(encoder, value._ndarray)
    return encoder._push([list(value.astype(object))])


_NUMPY = ("ndarray", _array), ("generic", _scalar), ("dtype", _dtype_of)
_PANDAS = ("DataFrame", _frame), ("Series", _series), ("Index", _index)


def _view_of(encoder, value):
    try:
        encoder._push([Text(b"memoryview"), value.format, value.shape, value.strides, value.obj])
    except ValueError:
        encoder._say(b"released;")


_TABLE = {
    type(None): lambda e, v: e._say(b"N;"),
    type(...): lambda e, v: e._say(b"...;"),
    type(NotImplemented): lambda e, v: e._say(b"NI;"),
    bool: lambda e, v: e._say(b"T;" if v else b"f;"),
    int: _int, float: _float, str: _str, bytes: _bytes, complex: _value,
    list: Encoder._list, tuple: Encoder._tuple, dict: Encoder._dict, set: Encoder._set, frozenset: Encoder._set,
    bytearray: lambda e, v: e._push([Text(b"bytearray"), bytes(v)]),
    Text: lambda e, v: e._say(b"<%s>" % v.bytes),
    Whole: Encoder._whole,
    type: Encoder._class,
    types.FunctionType: Encoder._function,
    types.MethodType: _bound, _BUILTIN: _builtin,
    types.ModuleType: lambda e, v: e._say(b"m%s;" % v.__name__.encode()),
    types.CellType: Encoder._cell,
    types.GeneratorType: Encoder._suspended, types.CoroutineType: Encoder._suspended,
    types.AsyncGeneratorType: Encoder._suspended,
    types.MappingProxyType: lambda e, v: e._push([Text(b"proxy"), dict(v)]),
    type({}.keys()): lambda e, v: e._push([Text(b"keys"), v.mapping]),
    type({}.values()): lambda e, v: e._push([Text(b"values"), v.mapping]),
    type({}.items()): lambda e, v: e._push([Text(b"items"), v.mapping]),
    range: lambda e, v: e._push([Text(b"range"), v.start, v.stop, v.step]),
    slice: lambda e, v: e._push([Text(b"slice"), v.start, v.stop, v.step]),
    collections.deque: lambda e, v: e._push([Text(b"deque"), v.maxlen, len(v), *v]),
    collections.OrderedDict: lambda e, v: e._push([Text(b"ordered"), dict(v)]),
    collections.Counter: lambda e, v: e._push([Text(b"counter"), dict(v)]),
    collections.defaultdict: lambda e, v: e._push([Text(b"defaultdict"), v.default_factory, dict(v)]),
    re.Match: _match, re.Pattern: _pattern,
    weakref.ref: lambda e, v: e._push([Text(b"weak"), v()]),
    memoryview: _view_of,
    property: lambda e, v: e._push([Text(b"property"), v.fget, v.fset, v.fdel]),
    staticmethod: lambda e, v: e._push([Text(b"static"), v.__func__]),
    classmethod: lambda e, v: e._push([Text(b"classmethod"), v.__func__]),
    type(functools.lru_cache(len)): _cached,
}
# Of these it matters who shares them.
_SHARED = frozenset({
    Encoder._list, Encoder._dict, Encoder._set, Encoder._cell, Encoder._suspended, _file, _iterator, _lock,
    _cached, _range, _future, _array, _generator, _bits, _frame, _series,
    *(_TABLE[kind] for kind in (bytearray, collections.deque, collections.OrderedDict, collections.Counter,
                                collections.defaultdict)),
})
_OWN = set()  # names of the program's modules, once a survey knows them


def survey(view, roots):
    """One encoder for each root, on its own."""
    _OWN.clear()
    _OWN.update(view.modules)
    collects = gc.isenabled()
    gc.disable()  # much is made here and nothing of it is garbage
    try:
        return {key: Encoder(view).alone(key, value) for key, value in roots.items()}
    finally:
        if collects:
            gc.enable()


def together(view, roots, loose=False):
    """One encoder for roots that share."""
    if len(roots) == 1 and not loose:
        return Encoder(view).alone(*next(iter(roots.items())))
    encoder = Encoder(view, loose)
    for key, value in sorted(roots.items()):
        encoder.root(key, value)
    return encoder


def groups(encoders):
    """Keys whose values share something that can change, together."""
    leader, owner = {}, {}

    def lead(key):
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for key, encoder in encoders.items():
        first = lead(key)
        for place in encoder.memo:
            other = owner.setdefault(place, key)
            if other is not key:
                leader[lead(other)] = first
                first = lead(key)
    joined = {}
    for key in encoders:
        joined.setdefault(lead(key), []).append(key)
    return [sorted(keys) for keys in joined.values()]
