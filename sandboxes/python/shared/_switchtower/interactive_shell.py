"""What `get_ipython()` returns in a cell: the formatters of values, the namespace and the magics that kernels here know.

What else IPython's shell offers is reported as a need when it is used, so that the cell goes where IPython is.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from typing import Any

from . import cell_commands, host, magic_registry, pretty, representations
from .command_output import SList
from .magic_expansion import expand

_MISSING: Any = object()


class Formatter:
    """Functions that represent values of given types in one MIME type, as cells register them."""

    def __init__(self, mime: str) -> None:
        self.format_type = mime
        self.type_printers: dict[type, Any] = {}
        self.deferred_printers: dict[tuple[str, str], Any] = {}

    def for_type(self, typ: Any, func: Any = None) -> Any:
        """Registers a function for a type. Returns the one before it."""
        if isinstance(typ, str):
            module, _, name = typ.rpartition(".")
            return self.for_type_by_name(module, name, func)
        before = self.type_printers.get(typ) or self.deferred_printers.get((typ.__module__, typ.__name__))
        if func is not None:
            self.type_printers[typ] = func
            self._is_used()
        return before

    def for_type_by_name(self, type_module: str, type_name: str, func: Any = None) -> Any:
        """Registers a function for a type that may not be imported yet. Returns the one before it."""
        before = self.deferred_printers.get((type_module, type_name))
        if func is not None:
            self.deferred_printers[type_module, type_name] = func
            self._is_used()
        return before

    @property
    def enabled(self) -> bool:
        """Whether values are represented in this type; always, here."""
        return True

    @enabled.setter
    def enabled(self, value: bool) -> None:
        if not value:
            magic_registry.refuse(f"the formatter of {self.format_type}: enabled", "formatters are enabled here", "")

    def __getattr__(self, name: str) -> Any:
        raise _missing(self, "formatter", name)

    def _is_used(self) -> None:
        representations.registered[self.format_type] = self
        if self.format_type == "text/plain":
            pretty.find_registered = self.find

    def pop(self, typ: Any, default: Any = _MISSING) -> Any:
        """Removes and returns the function for a type."""
        if typ in self.type_printers:
            return self.type_printers.pop(typ)
        module, _, name = typ.rpartition(".") if isinstance(typ, str) else (typ.__module__, "", typ.__name__)
        if (module, name) in self.deferred_printers:
            return self.deferred_printers.pop((module, name))
        if default is _MISSING:
            raise KeyError(f"No registered value for {typ!r}")
        return default

    def lookup_by_type(self, typ: type) -> Any:
        """Returns the function for a type or one of its bases. Raises `KeyError` where there is none."""
        func = self.find(typ)
        if func is None:
            raise KeyError(f"No registered printer for {typ!r}")
        return func

    def lookup(self, obj: Any) -> Any:
        """Returns the function for a value. Raises `KeyError` where there is none."""
        return self.lookup_by_type(type(obj))

    def find(self, kind: type) -> Any:
        """Returns the function for a type or one of its bases, if there is one."""
        if not self.type_printers and not self.deferred_printers:
            return None
        for cls in kind.__mro__:
            func = self.type_printers.get(cls) or self.deferred_printers.get(_name_of(cls))
            if func is not None:
                return func
        return None

    def __call__(self, obj: Any) -> Any:
        return dict(representations.mime_bundle(obj)).get(self.format_type)


def _missing(thing: Any, what: str, name: str) -> AttributeError:
    """Returns the error of an attribute that IPython's object has, or not; the cell goes where that is known."""
    if not name.startswith("_"):
        host.report_need("LANGUAGE", f"IPython's {what}: {name}")
    return AttributeError(f"{type(thing).__name__!r} object has no attribute {name!r}")


def _name_of(kind: type) -> tuple[str, str]:
    return getattr(kind, "__module__", ""), kind.__name__


class DisplayFormatter:
    """The formatters of all MIME types."""

    def __init__(self) -> None:
        mimes = ["text/plain", *(mime for _, mime in representations.METHODS)]
        self.formatters = {mime: Formatter(mime) for mime in mimes}
        representations.registered.clear()
        pretty.find_registered = pretty.float_format = None

    @property
    def active_types(self) -> list[str]:
        """The MIME types in which values are represented; all, here."""
        return list(self.formatters)

    @active_types.setter
    def active_types(self, value: list[str]) -> None:
        if not set(self.formatters) <= set(value):
            magic_registry.refuse("the formatters: active_types", "all types are active here", "")

    def __getattr__(self, name: str) -> Any:
        raise _missing(self, "formatters", name)

    def format(self, obj: Any, include: Any = None, exclude: Any = None) -> tuple[dict[str, str], dict[str, Any]]:
        """Returns the representations of a value, and their metadata, of which there is none."""
        data = dict(representations.mime_bundle(obj))
        return {
            mime: text
            for mime, text in data.items()
            if (not include or mime in include) and (not exclude or mime not in exclude)
        }, {}


class InteractiveShell:
    """The shell of a cell."""

    colors = "NoColor"
    # What libraries look at to tell a kernel from a terminal.
    config: Mapping[str, Any] = {"IPKernelApp": {}}

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self.display_formatter = DisplayFormatter()

    @property
    def user_ns(self) -> dict[str, Any]:
        names: dict[str, Any] = self._kernel.names
        return names

    @property
    def user_module(self) -> types.ModuleType:
        main: types.ModuleType = self._kernel.main
        return main

    @property
    def execution_count(self) -> int:
        number: int = self._kernel.number
        return number

    def ev(self, expr: str) -> Any:
        """Evaluates an expression in the namespace of the cells."""
        return eval(expr, self.user_ns)

    def push(self, variables: Any, interactive: bool = True) -> None:
        """Binds names for the cells that follow."""
        self.user_ns.update(variables)

    def run_line_magic(self, magic_name: str, line: str, _stack_depth: int = 1) -> Any:
        """Runs a line magic. Returns its value."""
        function = magic_registry.LINE.get(magic_name)
        if function is None:
            magic_registry.refuse(f"{magic_name} {line}".strip(), f"Line magic function `%{magic_name}` not found.")
        if magic_name not in magic_registry.LITERAL:
            line = expand(line, {**self.user_ns, **sys._getframe(_stack_depth).f_locals})
        return function(self._kernel, line)

    def run_cell_magic(self, magic_name: str, line: str, cell: str) -> Any:
        """Runs a cell magic. Returns its value."""
        if magic_name in magic_registry.SURROUNDING:
            value = self._kernel.run_within(magic_name, line, cell)
            return value if magic_name == "time" else None
        function = magic_registry.CELL.get(magic_name)
        if function is None:
            magic_registry.refuse(f"%{magic_name} {line}".strip(), f"Cell magic `%%{magic_name}` not found.")
        if magic_name not in magic_registry.LITERAL:
            line = expand(line, {**self.user_ns, **sys._getframe(1).f_locals})
        return function(self._kernel, line, cell)

    def magic(self, arg_s: str) -> Any:
        """Runs a line magic that is given as one text."""
        name, _, line = arg_s.lstrip("%").partition(" ")
        return self.run_line_magic(name, line.strip(), 2)

    def system(self, cmd: str) -> None:
        """Runs a command and prints what it writes. Binds its exit code."""
        code = cell_commands.show(cmd, {**self.user_ns, **sys._getframe(1).f_locals})
        if code is None:
            magic_registry.refuse("!" + cmd, None)
        self.user_ns["_exit_code"] = code

    def getoutput(self, cmd: str, split: bool = True, depth: int = 0) -> Any:
        """Returns what a command writes, as lines or as one text: a terminal has one stream for output and errors."""
        found = cell_commands.run(cmd, {**self.user_ns, **sys._getframe(1).f_locals})
        if found is None:
            magic_registry.refuse("!" + cmd, None)
        _, out, errors = found
        text = out + errors
        return SList(text.splitlines()) if split else text.removesuffix("\n")

    def _lines(self, lines: list[str]) -> SList:
        """Returns what a command that the host answered printed."""
        return SList(lines)

    system_raw = system_piped = system

    def __getattr__(self, name: str) -> Any:
        raise _missing(self, "shell", name)


InteractiveShell.__module__ = "IPython.core.interactiveshell"


class ZMQInteractiveShell(InteractiveShell):
    """The shell of a kernel."""


ZMQInteractiveShell.__module__ = "ipykernel.zmqshell"


class TerminalInteractiveShell(InteractiveShell):
    """The shell of a terminal, which no cell has."""


TerminalInteractiveShell.__module__ = "IPython.terminal.interactiveshell"

# What is in the package besides.
CLASSES = InteractiveShell, TerminalInteractiveShell, SList
