"""The tree itself: nodes, paths, the working directory, and what lies outside."""

import os
import stat

from .. import host
from ..paths import HOME

OWN = (HOME, "/tmp")
NULL = "/dev/null"
# Where the guest's own code seems to lie: tracebacks look for its lines there, and that is no need of the program's.
_GUEST = ("/python", "/0", "/1", "/world", "/bundled")


class Node:
    __slots__ = ("mode", "slept", "number", "content", "version")

    def __init__(self, mode, content):
        self.mode = mode
        self.content = content
        self.version = 0
        self.number = tree.next_number()
        self.touch()

    def touch(self, at=None):
        # Seconds since 1970 where the program set them, else a mark that the clock is asked for when somebody looks.
        self.slept = at

    def changed(self):
        """The content is another: noted for the one who asks what a cell left."""
        self.version = tree.change()
        self.touch()

    @property
    def folder(self):
        return stat.S_ISDIR(self.mode)


class Tree:
    """All nodes, the working directory and the open files."""

    def __init__(self):
        self.number = 1
        # Counts changes: of content, and of what lies where.
        self.version = 0
        self.root = None
        self.cwd = HOME
        self.open = {}

    def next_number(self):
        self.number += 1
        return self.number

    def change(self):
        self.version += 1
        return self.version

    def clear(self):
        self.number = 1
        self.change()
        self.cwd = HOME
        self.open = {}
        self.root = Node(stat.S_IFDIR | 0o755, {})
        for own in OWN:
            self.make_folders(own)

    def make_folders(self, path):
        node = self.root
        for part in parts_of(path):
            if part not in node.content:
                self.change()
                node.content[part] = Node(stat.S_IFDIR | 0o755, {})
            node = node.content[part]
        return node


tree = Tree()


def clear():
    tree.clear()


def give(files):
    """Lays out the files that came with a program."""
    for file in files:
        path = absolute(file.path)
        folder, name = path.rsplit("/", 1)
        tree.make_folders(folder).content[name] = Node(stat.S_IFREG | 0o644, bytearray(file.content))
        tree.change()


def enter(folder):
    """Makes a folder the working directory, where one is named."""
    if folder:
        path = absolute(folder)
        tree.make_folders(path)
        tree.cwd = path


def parts_of(path):
    return [part for part in path.split("/") if part]


def absolute(path):
    """The normal form of a path. `..` is resolved by name: there are no links."""
    path = os.fspath(path)
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if "\0" in path:
        raise ValueError("embedded null byte")
    if not path:
        raise FileNotFoundError(2, "No such file or directory", path)
    parts = []
    for part in (path if path.startswith("/") else f"{tree.cwd}/{path}").split("/"):
        if part == "..":
            del parts[-1:]
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def node_at(path):
    """The node at a normal path, or None."""
    node = tree.root
    for part in parts_of(path):
        if not node.folder:
            return None
        node = node.content.get(part)
        if node is None:
            return None
    return node


def _mine(path):
    return any(path == own or path.startswith(own + "/") for own in OWN)


def above_mine(path):
    """A folder that the program's own lie in: it is there on every machine."""
    return any(own.startswith(path.rstrip("/") + "/") for own in OWN)


def _outside(path):
    """Names the need for a path that is not the program's own."""
    if not _mine(path) and path != NULL and not path.startswith(_GUEST):
        host.lack("FILES", path[:200])


def found(path):
    normal = absolute(path)
    node = node_at(normal)
    if not _mine(normal):
        _outside(normal)
    if node is None:
        above = node_at(normal.rsplit("/", 1)[0] or "/")
        if above is not None and not above.folder:
            raise NotADirectoryError(20, "Not a directory", path)
        raise FileNotFoundError(2, "No such file or directory", path)
    return node


def place_of(path, *shown):
    """The folder that holds a path, and the name in it, for making and removing."""
    normal = absolute(path)
    if not _mine(normal):
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
