"""Parcels: pickles of names that share, for what running the cells again does not give."""

import base64
import pickle
import sys
import types

from . import canon


_CALLED = types.FunctionType, types.BuiltinFunctionType, types.MethodType, type


class TooLarge(Exception):
    """The parcel would take more than there is room for."""


class _Counted:
    """Where a pickle is written to; it stops one that grows too large before memory does."""

    def __init__(self, room):
        self._room, self.pieces = room, []

    def write(self, piece):
        self._room -= len(piece)
        if self._room < 0:
            raise TooLarge
        self.pieces.append(bytes(piece))


class Packer(pickle.Pickler):
    """Pickles by name what the other side has too: modules, streams, and what stands here in a library's place."""

    def __init__(self, file, view):
        super().__init__(file, 4)
        self._view = view

    def reducer_override(self, thing):
        if isinstance(thing, types.ModuleType):
            return __import__("importlib").import_module, (thing.__name__,)
        if id(thing) in self._view.streams:
            return getattr, (sys, self._view.streams[id(thing)])
        if type(thing).__name__ == "ndarray" and type(thing).__module__ == "numpy":
            base = canon.owner(thing)
            if base is not None:  # what is changed in one is changed in the other
                return type(thing), (thing.shape, thing.dtype, base, canon.offset(thing, base), thing.strides)
        if isinstance(thing, _CALLED):
            public = self._view.public(thing)
            if public:
                return getattr, (sys.modules[public[0]], public[1])
        return NotImplemented


def pack(view, roots, room):
    """The parcel as text, or why there is none. A named function or class goes as what can change in it."""
    values, classes, functions = {}, {}, {}
    for key, value in roots.items():
        whole = view.named(value) in (key, None) if isinstance(value, (type, types.FunctionType)) else False
        if whole and isinstance(value, type) and value.__module__ in view.modules:
            classes[key] = canon.data_attributes(view, value)
        elif whole and isinstance(value, types.FunctionType) and view.cell(value.__code__) is not None:
            functions[key] = _parts(value)
        else:
            values[key] = value
    file = _Counted(room)
    try:
        Packer(file, view).dump((values, classes, functions))
    except TooLarge:
        return None, None
    except RecursionError:
        return None, "it is nested too deeply to be carried"
    except Exception as error:
        return None, f"it cannot be pickled ({str(error)[:200]})"
    return base64.b64encode(b"".join(file.pieces)).decode(), None


def _parts(function):
    cells = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            # What a decorator wrapped has no name to be found by; the other side's own stays, and is compared.
            if not isinstance(cell.cell_contents, (types.FunctionType, type)):
                cells[name] = cell.cell_contents
        except ValueError:
            pass
    attributes = {k: v for k, v in vars(function).items() if k != "__wrapped__" and k not in canon.CLASS_OWN}
    return function.__defaults__, function.__kwdefaults__, cells, attributes
