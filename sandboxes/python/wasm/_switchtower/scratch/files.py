"""Open files: descriptors, `io.FileIO` and `open` over the tree."""

from __future__ import annotations

import io
import os
import stat
from typing import Any

from .. import os_errors
from .tree import NULL, Node, absolute, found, place_of, tree


class Handle:
    """An open file: a node, a position and what may be done."""

    def __init__(self, node: Node, flags: int, name: str | None) -> None:
        self.node, self.at, self.name = node, 0, name
        # WASI has one bit for reading and one for writing; O_RDWR is both.
        self.writes = bool(flags & os.O_WRONLY)
        self.reads = bool(flags & os.O_RDONLY) or not self.writes
        self.appends = bool(flags & os.O_APPEND)

    def read(self, size: int) -> bytes:
        if not self.reads:
            raise os_errors.error(9)
        if self.node.folder:
            raise IsADirectoryError(21, "Is a directory")
        data = bytes(memoryview(self.node.content)[self.at : self.at + size])
        self.at += len(data)
        return data

    def write(self, data: Any) -> int:
        if not self.writes:
            raise os_errors.error(9)
        data = memoryview(data).cast("B")
        if self.name == NULL:
            return len(data)
        content = self.node.content
        if self.appends:
            self.at = len(content)
        if self.at > len(content):
            content.extend(bytes(self.at - len(content)))
        content[self.at : self.at + len(data)] = data
        self.at += len(data)
        self.node.changed()
        return len(data)

    def seek(self, offset: int, whence: int) -> int:
        base = (0, self.at, len(self.node.content))[whence]
        if base + offset < 0:
            raise os_errors.error(22)
        self.at = base + offset
        return self.at

    def truncate(self, size: int) -> None:
        if not self.writes:
            raise os_errors.error(22)
        content = self.node.content
        if size < len(content):
            del content[size:]
        else:
            content.extend(bytes(size - len(content)))
        self.node.changed()


def handle_of(fd: int) -> Handle:
    handle = tree.open.get(fd)
    if handle is None:
        raise os_errors.error(9)
    return handle


def open_fd(path: Any, flags: int, mode: int = 0o777, *, dir_fd: Any = None) -> int:
    """`os.open`."""
    normal = absolute(path)
    if normal == NULL:
        node = Node(stat.S_IFCHR | 0o666, bytearray())
    elif flags & os.O_CREAT:
        folder, name = place_of(path)
        node = folder.get(name)
        if node is None:
            if str(path).endswith("/"):
                raise IsADirectoryError(21, "Is a directory", path)
            node = folder[name] = Node(stat.S_IFREG | mode & 0o644, bytearray())
            tree.change()
        elif flags & os.O_EXCL:
            raise FileExistsError(17, "File exists", path)
    else:
        node = found(path)
    if node.folder and flags & os.O_WRONLY:
        raise IsADirectoryError(21, "Is a directory", path)
    if flags & os.O_TRUNC and not node.folder:
        if node.content:
            node.content.clear()
            node.changed()
        node.touch()
    fd = 3
    while fd in tree.open:
        fd += 1
    if fd >= 1024:
        raise os_errors.error(24, path)
    tree.open[fd] = Handle(node, flags, normal)
    return fd


class FileIO(io.RawIOBase):
    """`io.FileIO` over the scratch file system."""

    # A file that could not be opened is closed all the same when it is let go.
    _fd = -1
    _closefd = False

    def __init__(self, file: Any, mode: str = "r", closefd: Any = True, opener: Any = None) -> None:
        kind = mode.replace("b", "").replace("t", "")
        if kind.strip("rwxa+") or sum(kind.count(c) for c in "rwxa") != 1 or kind.count("+") > 1:
            raise ValueError(f"invalid mode: {mode!r}")
        self._reads = "r" in kind or "+" in kind
        self._writes = kind != "r"
        self._appends = "a" in kind
        self._closefd = closefd
        self.name = file
        flags = os.O_RDWR if "+" in kind else os.O_WRONLY if self._writes else os.O_RDONLY
        flags |= {"r": 0, "w": os.O_CREAT | os.O_TRUNC, "x": os.O_CREAT | os.O_EXCL, "a": os.O_CREAT | os.O_APPEND}[
            kind[0]
        ]
        if isinstance(file, int) and not isinstance(file, bool):
            if file < 0:
                raise ValueError("negative file descriptor")
            self._fd = file
            handle_of(file)
        elif not closefd:
            raise ValueError("Cannot use closefd=False with file name")
        else:
            self._fd = opener(file, flags) if opener else open_fd(file, flags, 0o666)
            if self._fd < 0:
                raise ValueError(f"opener returned {self._fd}")
        handle = handle_of(self._fd)
        if handle.node.folder:
            if not isinstance(file, int):
                tree.open.pop(self._fd, None)
            raise IsADirectoryError(21, "Is a directory", file)
        if self._appends:
            handle.seek(0, 2)
        self._mode = ("xb" if kind[0] == "x" else "ab" if self._appends else "rb" if not self._writes else "wb") + (
            "+" if "+" in kind else ""
        )
        if "+" in kind and kind[0] in "rw":
            self._mode = "rb+"

    @property
    def mode(self) -> str:
        return self._mode

    @property
    def closefd(self) -> bool:
        return self._closefd

    def _checked(self) -> Handle:
        if self.closed:
            raise ValueError("I/O operation on closed file")
        return handle_of(self._fd)

    def readable(self) -> bool:
        self._checked()
        return self._reads

    def writable(self) -> bool:
        self._checked()
        return self._writes

    def seekable(self) -> bool:
        self._checked()
        return True

    def fileno(self) -> int:
        self._checked()
        return self._fd

    def isatty(self) -> bool:
        self._checked()
        return False

    def readinto(self, buffer: Any) -> int:
        handle = self._checked()
        if not self._reads:
            raise io.UnsupportedOperation("File not open for reading")
        view = memoryview(buffer).cast("B")
        data = handle.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        handle = self._checked()
        if not self._reads:
            raise io.UnsupportedOperation("File not open for reading")
        return handle.read(len(handle.node.content) if size is None or size < 0 else size)

    def readall(self) -> bytes:
        return self.read()

    def write(self, data: Any) -> int:
        handle = self._checked()
        if not self._writes:
            raise io.UnsupportedOperation("File not open for writing")
        return handle.write(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._checked().seek(offset, whence)

    def tell(self) -> int:
        return self._checked().at

    def truncate(self, size: int | None = None) -> Any:
        handle = self._checked()
        if not self._writes:
            raise io.UnsupportedOperation("File not open for writing")
        size = handle.at if size is None else size
        handle.truncate(size)
        return size

    def close(self) -> None:
        if not self.closed:
            super().close()
            if self._closefd:
                tree.open.pop(self._fd, None)

    def __repr__(self) -> str:
        if self.closed:
            return "<_io.FileIO [closed]>"
        return f"<_io.FileIO name={self.name!r} mode={self.mode!r} closefd={self._closefd}>"


_real_open = io.open


def open_(
    file: Any,
    mode: str = "r",
    buffering: Any = -1,
    encoding: Any = None,
    errors: Any = None,
    newline: Any = None,
    closefd: Any = True,
    opener: Any = None,
) -> Any:
    """Open file and return a stream.  Raise OSError upon failure."""
    if not isinstance(file, int):
        file = os.fspath(file)
    elif file in (0, 1, 2):
        return _real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    if not isinstance(mode, str):
        raise TypeError(f"open() argument 'mode' must be str, not {type(mode).__name__}")
    kinds = set(mode)
    if kinds - set("axrwb+t") or len(mode) > len(kinds):
        raise ValueError(f"invalid mode: {mode!r}")
    binary, text = "b" in kinds, "t" in kinds
    if binary and text:
        raise ValueError("can't have text and binary mode at once")
    if len(kinds & set("axrw")) != 1:
        raise ValueError("must have exactly one of create/read/write/append mode")
    if binary:
        for given, name in ((encoding, "encoding"), (errors, "errors"), (newline, "newline")):
            if given is not None:
                raise ValueError(f"binary mode doesn't take {'an' if name[0] == 'e' else 'a'} {name} argument")
    if buffering == 0 and not binary:
        raise ValueError("can't have unbuffered text I/O")
    raw = FileIO(file, mode, closefd, opener)
    try:
        if buffering == 0:
            return raw
        size = io.DEFAULT_BUFFER_SIZE if buffering in (-1, 1) else buffering
        if "+" in kinds:
            buffer: Any = io.BufferedRandom(raw, size)
        elif "r" in kinds:
            buffer = io.BufferedReader(raw, size)
        else:
            buffer = io.BufferedWriter(raw, size)
        if binary:
            return buffer
        stream = io.TextIOWrapper(buffer, "UTF-8" if encoding is None else encoding, errors, newline, buffering == 1)
        stream.mode = mode
        return stream
    except BaseException:
        raw.close()
        raise


def open_code(path: Any) -> Any:
    """A file of code, opened for reading."""
    return open_(path, "rb")
