"""Compares the replayed state with the exported one, name by name, and overwrites what differs."""

from __future__ import annotations

import base64
import io
import pickle
import types
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import NotTransferable
from .holders import held_by_libraries
from .prediction import bare, describe_opaque, is_never_named
from .settings import apply_settings
from .taint import PLAIN_TYPES, TaintAnalysis

if TYPE_CHECKING:
    from ..schema import Cell, Group
    from .replay import Replay


class _Unpickler(pickle.Unpickler):
    """Finds functions of the digest package, which has another name here."""

    def __init__(self, file: io.BytesIO, digest: Any) -> None:
        super().__init__(file)
        self._digest = digest

    def find_class(self, module: str, name: str) -> Any:
        """Returns a function or class by its name."""
        package, _, part = module.rpartition(".")
        if package.endswith("state_transfer.digest"):
            return getattr(getattr(self._digest, part), name)
        return super().find_class(module, name)


class Reconciliation:
    """The exported state beside the replayed one. `digest` is the package that made the exported digests."""

    def __init__(self, replay: Replay, digest: Any) -> None:
        self._replay, self._state = replay, replay.state
        self._digest = digest
        self._groups = self._state["groups"]
        self._keys = {name for group in self._groups for name in group["names"]}
        homes = (replay.home.rstrip("/") + "/", "/tmp/")
        baseline = replay.baseline - self._keys
        self._view = digest.view.View(replay.main, replay.files, homes, baseline, known=replay.modules)
        self._analysis: TaintAnalysis | None = None
        # Of the roots as they were last compared.
        self._encoders: dict[str, Any] = {}

    def run(self) -> list[str]:
        """Returns the names that were overwritten. Raises `NotTransferable` where one can be neither."""
        roots = self._view.roots()
        for key in [key for key in roots if key not in self._keys]:
            if self._state["has_outputs"] or not key.startswith("Out["):
                self._unbind(key)
            del roots[key]
        different = self._different(roots)
        differing = {name for group in different for name in group["names"]}
        self._check_modules(differing)
        wrong = [group for group in self._groups if group in different or self._is_doubtful(group, differing)]
        self._check_holders(wrong)
        overwritten = self._overwrite_all(wrong)
        if overwritten:
            overwritten += self._overwrite_others(overwritten)
        apply_settings(self._state["settings"], self._replay)
        return [name for group in overwritten for name in group["names"]]

    def _overwrite_all(self, groups: Iterable[Group]) -> list[Group]:
        """Returns the groups that have the exported values now: all but those that no cell can miss."""
        overwritten = []
        for group in groups:
            try:
                self._overwrite(group)
                overwritten.append(group)
            except NotTransferable:
                if not all(name.startswith("Out[") or self._is_never_named(name) for name in group["names"]):
                    raise
                for name in group["names"]:  # a cell that uses it gets a NameError
                    self._unbind(name)
        return overwritten

    def _overwrite_others(self, overwritten: list[Group]) -> list[Group]:
        """Returns groups that the rebuilding of these has changed: a `__setstate__` of the program may count its calls."""
        roots = self._view.roots()
        changed = [group for group in self._different(roots) if group not in overwritten]
        others = self._overwrite_all(group for group in changed if all(name in roots for name in group["names"]))
        if others:
            again = [group for group in self._different(self._view.roots()) if group in others]
            for group in again:
                self._give_up(group, "what was rebuilt there changes it")
        return others

    def _check_holders(self, groups: Iterable[Group]) -> None:
        """Raises `NotTransferable` where what is to be overwritten is held by a library too, which would keep the old one."""
        places: dict[int, str] = {}
        for group in groups:
            for name in group["names"]:
                if name in self._encoders:
                    places.update(dict.fromkeys(self._encoders[name].memo, name))
        if not places:
            return
        for holder, value in held_by_libraries(self._view, places):
            name = places[id(value)]
            number = self._analyse(set()).bound.get(bare(name))
            reason = f"{holder} holds it too, and running the cells again gave another value, which cannot be exchanged there"
            raise NotTransferable(reason, number, name)

    def _different(self, roots: Mapping[str, Any]) -> list[Group]:
        """Returns the groups that came out other than they were exported."""
        groups, found = self._digest.groups, []
        encoders = self._encoders = groups.encode_each(self._view, roots)
        home = {name: at for at, group in enumerate(self._groups) for name in group["names"]}
        mixed: set[int] = set()
        for keys in groups.group(encoders):
            places = {home[key] for key in keys}
            if len(places) > 1:
                mixed |= places  # these share here what they did not share before
        for at, group in enumerate(self._groups):
            names = group["names"]
            if at in mixed or not all(name in roots for name in names):
                found.append(group)
                continue
            if len(names) == 1:
                encoder = encoders[names[0]]
            else:
                encoder = groups.encode_together(self._view, {name: roots[name] for name in names})
            if encoder.digest() != group["digest"]:
                found.append(group)
        return found

    def _is_doubtful(self, group: Group, differing: Collection[str]) -> bool:
        """Returns whether a group holds what cannot be compared, and a cell may have made it otherwise this time."""
        if not group["opaque"] or not (differing or self._is_impure()):
            return False
        return bool(self._analyse(differing).tainted & {bare(name) for name in group["names"]})

    def _is_never_named(self, name: str) -> bool:
        return is_never_named(name, (cell["code"] for cell in self._replay.cells))

    def _is_impure(self) -> bool:
        return any(not cell["pure"] or self._ended_differently(cell) for cell in self._replay.cells)

    def _ended_differently(self, cell: Cell) -> bool:
        return cell["raised"] != (cell["number"] in self._replay.raised)

    def _analyse(self, differing: Collection[str]) -> TaintAnalysis:
        if self._analysis is None:
            cells = [
                (cell["number"], cell["code"], not cell["pure"] or self._ended_differently(cell), cell["incomplete"])
                for cell in self._replay.cells
            ]
            opaque = {bare(name) for group in self._groups for name in group["opaque"]}
            names = self._replay.names
            plain = {name for name in names if type(names[name]) in PLAIN_TYPES}
            self._analysis = TaintAnalysis(cells, {bare(name) for name in differing}, opaque, plain)
        return self._analysis

    def _check_modules(self, differing: Collection[str]) -> None:
        if self._is_impure():
            for number, reason in self._analyse(differing).unchecked:
                raise NotTransferable(f"{reason}; that can be neither replayed nor transferred", number)

    def _overwrite(self, group: Group) -> None:
        """Gives the group's names the exported values."""
        if "pickled" not in group:
            self._give_up(group, group.get("reason") or "it cannot be transferred")
        names = group["names"]
        try:
            pickled = io.BytesIO(base64.b64decode(group["pickled"]))
            values, classes, functions = _Unpickler(pickled, self._digest).load()
        except ImportError as error:
            self._give_up(group, f"it needs a module that is not there ({error})")
        except Exception as error:
            self._give_up(group, f"it could not be rebuilt there ({type(error).__name__}: {str(error)[:200]})")
        for key, value in values.items():
            self._bind(key, value)
        for key, attributes in classes.items():
            self._set_class(key, attributes)
        for key, parts in functions.items():
            self._set_function(key, parts)
        roots = {}
        for key in names:
            place, name = self._view.place(key)
            if name not in place:
                self._give_up(group, "the cell that defined it did not do so there", key)
            roots[key] = place[name]
        encode = self._digest.groups.encode_together
        if encode(self._view, roots).digest() != group["digest"]:
            loose = group.get("loose_digest")
            if loose is None or encode(self._view, roots, loose=True).digest() != loose:
                self._give_up(group, "it came out different when it was rebuilt there")

    def _set_class(self, key: str, attributes: Mapping[str, Any]) -> None:
        place, name = self._view.place(key)
        kind = place.get(name)
        if isinstance(kind, type):
            for name in self._digest.definitions.data_attributes(self._view, kind):
                if name not in attributes and name != "__doc__":  # which cannot be removed
                    delattr(kind, name)
            now = vars(kind)
            for name, value in attributes.items():
                if now.get(name, attributes) is not value:
                    setattr(kind, name, value)

    def _set_function(self, key: str, parts: Mapping[str, Any]) -> None:
        place, name = self._view.place(key)
        function = place.get(name)
        if type(function) is types.FunctionType:
            function.__name__, function.__doc__ = parts["name"], parts["doc"]
            function.__defaults__, function.__kwdefaults__ = parts["defaults"], parts["kwdefaults"]
            self._set_annotations(function, parts["annotations"])
            cells, attributes = parts["cells"], parts["attributes"]
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
                if name in cells:
                    cell.cell_contents = cells[name]
            for name in [name for name in vars(function) if name not in attributes and name != "__wrapped__"]:
                delattr(function, name)
            vars(function).update(attributes)

    def _set_annotations(self, function: types.FunctionType, wanted: Mapping[str, Any]) -> None:
        now = self._digest.definitions.plain_annotations(function)
        if now != wanted:
            for name in now:
                del function.__annotations__[name]
            function.__annotations__.update(wanted)

    def _bind(self, key: str, value: Any) -> None:
        place, name = self._view.place(key)
        old = place.get(name, place)
        place[name] = value
        if isinstance(name, int):
            names = self._replay.names
            names[f"_{name}"] = value
            for recent in ("_", "__", "___"):
                if recent in names and names[recent] is old:
                    names[recent] = value

    def _unbind(self, key: str) -> None:
        place, name = self._view.place(key)
        old = place.pop(name, place)
        if isinstance(name, int):
            names = self._replay.names
            for other in (f"_{name}", "_", "__", "___"):
                if other in names and names[other] is old:
                    del names[other]

    def _give_up(self, group: Group, reason: str, name: str | None = None) -> NoReturn:
        """Raises `NotTransferable` with the variable and the cell."""
        opaque = group["opaque"]
        if name is None:
            name = next((each for each in group["names"] if each in opaque), group["names"][0])
        number = self._analyse(set()).bound.get(bare(name))
        cell = next((cell for cell in self._replay.cells if cell["number"] == number), None)
        raised = self._replay.raised.get(number) if number is not None else None
        if raised is not None and not (cell and cell["raised"]):
            reason = f"its cell raised an exception there ({raised}), and {reason}"
        elif name in opaque:
            reason = describe_opaque(opaque[name], reason)
        else:
            reason = f"running the cells again gave another value, and {reason}"
        raise NotTransferable(reason, number, name) from None
