"""Results of `os.stat` and `os.scandir`."""

from __future__ import annotations

import os
from typing import Any

from .. import host
from .tree import Node


class Stat(tuple):
    """A stat result that reads its times from the host when the program reads them: size and kind are no clock."""

    n_sequence_fields = 10

    def __new__(cls, node: Node) -> Any:
        size = len(node.content) if not node.folder else 4096
        self = super().__new__(cls, (node.mode, node.number, 1, 1, 1000, 1000, size, 0, 0, 0))
        self._node = node
        return self

    st_mode = property(lambda self: tuple.__getitem__(self, 0))
    st_ino = property(lambda self: tuple.__getitem__(self, 1))
    st_dev = property(lambda self: 1)
    st_nlink = property(lambda self: 1)
    st_uid = property(lambda self: 1000)
    st_gid = property(lambda self: 1000)
    st_size = property(lambda self: tuple.__getitem__(self, 6))
    st_blksize = property(lambda self: 4096)
    st_blocks = property(lambda self: (self.st_size + 511) // 512)
    st_rdev = property(lambda self: 0)

    @property
    def st_mtime_ns(self) -> Any:
        return host.started() if self._node.time_ns is None else self._node.time_ns

    @property
    def st_mtime(self) -> Any:
        return self.st_mtime_ns / 1e9

    st_atime = st_ctime = st_mtime
    st_atime_ns = st_ctime_ns = st_mtime_ns

    def __getitem__(self, index: Any) -> Any:
        if index in (7, 8, 9):
            return int(self.st_mtime)
        return tuple.__getitem__(self, index)

    def __reduce__(self) -> Any:
        # As a value of its own, without the file.
        others = ("st_atime", "st_mtime", "st_ctime", "st_atime_ns", "st_mtime_ns", "st_ctime_ns")
        others += ("st_blksize", "st_blocks", "st_rdev")
        return os.stat_result, (tuple(self[i] for i in range(10)), {name: getattr(self, name) for name in others})

    def __repr__(self) -> str:
        names = "mode ino dev nlink uid gid size atime mtime ctime".split()
        return "os.stat_result(" + ", ".join(f"st_{n}={self[i]}" for i, n in enumerate(names)) + ")"


class Entry:
    """An entry of `os.scandir`."""

    def __init__(self, folder: Any, name: str, node: Node) -> None:
        self.name = name
        self.path = os.path.join(folder, name)
        self._node = node

    def is_dir(self, *, follow_symlinks: Any = True) -> Any:
        return self._node.folder

    def is_file(self, *, follow_symlinks: Any = True) -> bool:
        return not self._node.folder

    def is_symlink(self) -> bool:
        return False

    def is_junction(self) -> bool:
        return False

    def inode(self) -> Any:
        return self._node.number

    def stat(self, *, follow_symlinks: Any = True) -> Any:
        return Stat(self._node)

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"


class Entries:
    def __init__(self, entries: Any) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())
