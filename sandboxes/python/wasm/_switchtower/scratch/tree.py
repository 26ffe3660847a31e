"""The tree itself: nodes, paths, the working directory, and paths outside of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from typing import Any

from .. import host
from ..paths import HOME, OWN_FOLDERS

NULL = "/dev/null"
# Folders of the guest's own code: tracebacks look for its lines there, and that is no need of the program's.
_GUEST = ("/python", "/0", "/1", "/world", "/bundled")


class Node:
    __slots__ = ("mode", "time_ns", "number", "content", "version")

    def __init__(self, mode: int, content: Any) -> None:
        self.mode = mode
        self.content = content
        self.version = 0
        self.number = tree.next_number()
        self.touch()

    def touch(self, at: int | None = None) -> None:
        # Nanoseconds since 1970 where the program set them; None: the clock is read when a stat result is.
        self.time_ns = at

    def changed(self) -> None:
        """Notes that the content changed."""
        self.version = tree.change()
        self.touch()

    @property
    def folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


class Tree:
    """All nodes, the working directory and the open files."""

    def __init__(self) -> None:
        self.number = 1
        # Counts changes of contents and of folders.
        self.version = 0
        self.root: Any = None
        self.cwd = HOME
        self.open: dict[int, Any] = {}

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def change(self) -> int:
        self.version += 1
        return self.version

    def clear(self) -> None:
        self.number = 1
        self.change()
        self.cwd = HOME
        self.open = {}
        self.root = Node(stat.S_IFDIR | 0o755, {})
        for own in OWN_FOLDERS:
            self.make_folders(own)

    def make_folders(self, path: str) -> Node:
        node = self.root
        for part in parts_of(path):
            if part not in node.content:
                self.change()
                node.content[part] = Node(stat.S_IFDIR | 0o755, {})
            node = node.content[part]
        return node


tree = Tree()


def clear() -> None:
    tree.clear()


def write_files(files: Iterable[Any]) -> None:
    """Writes the files that came with a program."""
    for file in files:
        path = absolute(file.path)
        folder, name = path.rsplit("/", 1)
        tree.make_folders(folder).content[name] = Node(stat.S_IFREG | 0o644, bytearray(file.content))
        tree.change()


def set_working_directory(folder: str | None) -> None:
    """Makes a folder the working directory, where one is named."""
    if folder:
        path = absolute(folder)
        tree.make_folders(path)
        tree.cwd = path


def parts_of(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def absolute(path: Any) -> str:
    """Returns the normal form of a path. `..` is resolved by name: there are no links."""
    path = os.fspath(path)
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if "\0" in path:
        raise ValueError("embedded null byte")
    if not path:
        raise FileNotFoundError(2, "No such file or directory", path)
    parts: list[str] = []
    for part in (path if path.startswith("/") else f"{tree.cwd}/{path}").split("/"):
        if part == "..":
            del parts[-1:]
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def node_at(path: str) -> Node | None:
    """Returns the node at a normal path, or None."""
    node = tree.root
    for part in parts_of(path):
        if not node.folder:
            return None
        node = node.content.get(part)
        if node is None:
            return None
    return node


def _is_own(path: str) -> bool:
    return any(path == own or path.startswith(own + "/") for own in OWN_FOLDERS)


def is_above_own(path: str) -> bool:
    """Returns whether a path is a folder above the program's own: it exists on every machine."""
    return any(own.startswith(path.rstrip("/") + "/") for own in OWN_FOLDERS)


def _outside(path: str) -> None:
    """Reports the need for a path that is not the program's own."""
    if not _is_own(path) and path != NULL and not path.startswith(_GUEST):
        host.report_need("FILES", path[:200])


def found(path: Any) -> Node:
    normal = absolute(path)
    node = node_at(normal)
    # A folder above the program's own is on every machine: that it has less here is no need.
    if node is None or not is_above_own(normal):
        _outside(normal)
    if node is None:
        above = node_at(normal.rsplit("/", 1)[0] or "/")
        if above is not None and not above.folder:
            raise NotADirectoryError(20, "Not a directory", path)
        raise FileNotFoundError(2, "No such file or directory", path)
    return node


def place_of(path: Any, *shown: Any) -> tuple[dict[str, Node], str]:
    """Returns the folder that holds a path, and the name in it, for making and removing."""
    normal = absolute(path)
    if not _is_own(normal):
        _outside(normal)
        if normal.split("/", 2)[1] in ("etc", "usr", "bin", "sbin", "lib", "proc", "sys", "dev", "root", "var", "boot"):
            raise PermissionError(13, "Permission denied", path, *shown)
        raise FileNotFoundError(2, "No such file or directory", path, *shown)
    above, _, name = normal.rpartition("/")
    folder = node_at(above or "/")
    if folder is None:
        raise FileNotFoundError(2, "No such file or directory", path, *shown)
    if not folder.folder:
        raise NotADirectoryError(20, "Not a directory", path, *shown)
    return folder.content, name
