"""The scratch file system: a tree in the guest's own memory, gone with the instance.

The program owns its working directory and /tmp. Every other absolute path belongs to a machine that is not here: the
need is named to the host, and where no other tier stands ready the program sees what an empty machine would answer.
Links do not exist; modes are kept and not enforced.
"""

import io
import os
import posix
import stat
import sys

from . import HOME, errors, host

_OWN = (HOME, "/tmp")
_NULL = "/dev/null"
# Where the guest's own code seems to lie: tracebacks look for its lines there, and that is no need of the program's.
_GUEST = ("/python", "/0", "/1", "/world", "/bundled")


class Node:
    __slots__ = ("mode", "slept", "number", "content")

    def __init__(self, mode, content):
        self.mode = mode
        self.content = content
        self.number = _tree.next_number()
        self.touch()

    def touch(self, at=None):
        # Seconds since 1970 where the program set them, else a mark that the clock is asked for when somebody looks.
        self.slept = at

    @property
    def folder(self):
        return stat.S_ISDIR(self.mode)


class Tree:
    """All nodes, the working directory and the open files."""

    def __init__(self):
        self.number = 1
        self.root = None
        self.cwd = HOME
        self.open = {}

    def next_number(self):
        self.number += 1
        return self.number

    def clear(self):
        self.number = 1
        self.cwd = HOME
        self.open = {}
        self.root = Node(stat.S_IFDIR | 0o755, {})
        for own in _OWN:
            self.make_folders(own)

    def make_folders(self, path):
        node = self.root
        for part in _parts(path):
            if part not in node.content:
                node.content[part] = Node(stat.S_IFDIR | 0o755, {})
            node = node.content[part]
        return node


_tree = Tree()


def clear():
    _tree.clear()


def give(files):
    """Lays out the files that came with a program."""
    for file in files:
        path = _absolute(file.path)
        folder, name = path.rsplit("/", 1)
        _tree.make_folders(folder).content[name] = Node(stat.S_IFREG | 0o644, bytearray(file.content))


# --- paths -----------------------------------------------------------------------------------------------------------


def _parts(path):
    return [part for part in path.split("/") if part]


def _absolute(path):
    """The normal form of a path. `..` is resolved by name: there are no links."""
    path = os.fspath(path)
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if "\0" in path:
        raise ValueError("embedded null byte")
    if not path:
        raise FileNotFoundError(2, "No such file or directory", path)
    parts = []
    for part in (path if path.startswith("/") else f"{_tree.cwd}/{path}").split("/"):
        if part == "..":
            del parts[-1:]
        elif part and part != ".":
            parts.append(part)
    return "/" + "/".join(parts)


def _node(path):
    """The node at a normal path, or None."""
    node = _tree.root
    for part in _parts(path):
        if not node.folder:
            return None
        node = node.content.get(part)
        if node is None:
            return None
    return node


def _mine(path):
    return any(path == own or path.startswith(own + "/") for own in _OWN)


def _above_mine(path):
    """A folder that the program's own lie in: it is there on every machine."""
    return any(own.startswith(path.rstrip("/") + "/") for own in _OWN)


def _outside(path):
    """Names the need for a path that is not the program's own."""
    if not _mine(path) and path != _NULL and not path.startswith(_GUEST):
        host.lack("FILES", path[:200])


def _found(path):
    normal = _absolute(path)
    node = _node(normal)
    if not _mine(normal):
        _outside(normal)
    if node is None:
        above = _node(normal.rsplit("/", 1)[0] or "/")
        if above is not None and not above.folder:
            raise NotADirectoryError(20, "Not a directory", path)
        raise FileNotFoundError(2, "No such file or directory", path)
    return node


def _place(path, *shown):
    """The folder that holds a path, and the name in it, for making and removing."""
    normal = _absolute(path)
    if not _mine(normal):
        _outside(normal)
        if normal.split("/", 2)[1] in ("etc", "usr", "bin", "sbin", "lib", "proc", "sys", "dev", "root", "var", "boot"):
            raise PermissionError(13, "Permission denied", path, *shown)
        raise FileNotFoundError(2, "No such file or directory", path, *shown)
    above, _, name = normal.rpartition("/")
    folder = _node(above or "/")
    if folder is None:
        raise FileNotFoundError(2, "No such file or directory", path, *shown)
    if not folder.folder:
        raise NotADirectoryError(20, "Not a directory", path, *shown)
    return folder.content, name


# --- what stat tells -------------------------------------------------------------------------------------------------


class Stat(tuple):
    """A stat result whose times are asked of the host when somebody looks: size and kind alone are no clock."""

    n_sequence_fields = 10

    def __new__(cls, node):
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
    def st_mtime_ns(self):
        return host.started() if self._node.slept is None else self._node.slept

    @property
    def st_mtime(self):
        return self.st_mtime_ns / 1e9

    st_atime = st_ctime = st_mtime
    st_atime_ns = st_ctime_ns = st_mtime_ns

    def __getitem__(self, index):
        if index in (7, 8, 9):
            return int(self.st_mtime)
        return tuple.__getitem__(self, index)

    def __repr__(self):
        names = "mode ino dev nlink uid gid size atime mtime ctime".split()
        return "os.stat_result(" + ", ".join(f"st_{n}={self[i]}" for i, n in enumerate(names)) + ")"


class Entry:
    """What `os.scandir` gives."""

    def __init__(self, folder, name, node):
        self.name = name
        self.path = os.path.join(folder, name)
        self._node = node

    def is_dir(self, *, follow_symlinks=True):
        return self._node.folder

    def is_file(self, *, follow_symlinks=True):
        return not self._node.folder

    def is_symlink(self):
        return False

    def is_junction(self):
        return False

    def inode(self):
        return self._node.number

    def stat(self, *, follow_symlinks=True):
        return Stat(self._node)

    def __fspath__(self):
        return self.path

    def __repr__(self):
        return f"<DirEntry {self.name!r}>"


class Entries:
    def __init__(self, entries):
        self._entries = iter(entries)

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._entries = iter(())


# --- open files ------------------------------------------------------------------------------------------------------


class Handle:
    """An open file: a node, a position and what may be done."""

    def __init__(self, node, flags, name):
        self.node, self.at, self.name = node, 0, name
        # WASI has one bit for reading and one for writing; O_RDWR is both.
        self.writes = bool(flags & os.O_WRONLY)
        self.reads = bool(flags & os.O_RDONLY) or not self.writes
        self.appends = bool(flags & os.O_APPEND)

    def read(self, size):
        if not self.reads:
            raise errors.error(9)
        if self.node.folder:
            raise IsADirectoryError(21, "Is a directory")
        data = bytes(memoryview(self.node.content)[self.at : self.at + size])
        self.at += len(data)
        return data

    def write(self, data):
        if not self.writes:
            raise errors.error(9)
        data = memoryview(data).cast("B")
        if self.name == _NULL:
            return len(data)
        content = self.node.content
        if self.appends:
            self.at = len(content)
        if self.at > len(content):
            content.extend(bytes(self.at - len(content)))
        content[self.at : self.at + len(data)] = data
        self.at += len(data)
        self.node.touch()
        return len(data)

    def seek(self, offset, whence):
        base = (0, self.at, len(self.node.content))[whence]
        if base + offset < 0:
            raise errors.error(22)
        self.at = base + offset
        return self.at

    def truncate(self, size):
        if not self.writes:
            raise errors.error(22)
        content = self.node.content
        if size < len(content):
            del content[size:]
        else:
            content.extend(bytes(size - len(content)))
        self.node.touch()


def _handle(fd):
    handle = _tree.open.get(fd)
    if handle is None:
        raise errors.error(9)
    return handle


def _open(path, flags, mode=0o777, *, dir_fd=None):
    """`os.open`."""
    normal = _absolute(path)
    if normal == _NULL:
        node = Node(stat.S_IFCHR | 0o666, bytearray())
    elif flags & os.O_CREAT:
        folder, name = _place(path)
        node = folder.get(name)
        if node is None:
            if str(path).endswith("/"):
                raise IsADirectoryError(21, "Is a directory", path)
            node = folder[name] = Node(stat.S_IFREG | mode & 0o644, bytearray())
        elif flags & os.O_EXCL:
            raise FileExistsError(17, "File exists", path)
    else:
        node = _found(path)
    if node.folder and flags & os.O_WRONLY:
        raise IsADirectoryError(21, "Is a directory", path)
    if flags & os.O_TRUNC and not node.folder:
        node.content.clear()
        node.touch()
    fd = 3
    while fd in _tree.open:
        fd += 1
    if fd >= 1024:
        raise errors.error(24, path)
    _tree.open[fd] = Handle(node, flags, normal)
    return fd


class FileIO(io.RawIOBase):
    """`io.FileIO` over the scratch file system."""

    # A file that could not be opened is closed all the same when it is let go.
    _fd = -1
    _closefd = False

    def __init__(self, file, mode="r", closefd=True, opener=None):
        kind = mode.replace("b", "").replace("t", "")
        if kind.strip("rwxa+") or sum(kind.count(c) for c in "rwxa") != 1 or kind.count("+") > 1:
            raise ValueError(f"invalid mode: {mode!r}")
        self._reads = "r" in kind or "+" in kind
        self._writes = kind != "r"
        self._appends = "a" in kind
        self._closefd = closefd
        self.name = file
        flags = os.O_RDWR if "+" in kind else os.O_WRONLY if self._writes else os.O_RDONLY
        flags |= {"r": 0, "w": os.O_CREAT | os.O_TRUNC, "x": os.O_CREAT | os.O_EXCL, "a": os.O_CREAT | os.O_APPEND}[kind[0]]
        if isinstance(file, int) and not isinstance(file, bool):
            if file < 0:
                raise ValueError("negative file descriptor")
            self._fd = file
            _handle(file)
        elif not closefd:
            raise ValueError("Cannot use closefd=False with file name")
        else:
            self._fd = opener(file, flags) if opener else _open(file, flags, 0o666)
        handle = _handle(self._fd)
        if handle.node.folder:
            if not isinstance(file, int):
                _tree.open.pop(self._fd, None)
            raise IsADirectoryError(21, "Is a directory", file)
        if self._appends:
            handle.seek(0, 2)
        self._mode = ("xb" if kind[0] == "x" else "ab" if self._appends else "rb" if not self._writes else "wb") + (
            "+" if "+" in kind else ""
        )
        if "+" in kind and kind[0] in "rw":
            self._mode = "rb+"

    @property
    def mode(self):
        return self._mode

    @property
    def closefd(self):
        return self._closefd

    def _checked(self):
        if self.closed:
            raise ValueError("I/O operation on closed file")
        return _handle(self._fd)

    def readable(self):
        self._checked()
        return self._reads

    def writable(self):
        self._checked()
        return self._writes

    def seekable(self):
        self._checked()
        return True

    def fileno(self):
        self._checked()
        return self._fd

    def isatty(self):
        self._checked()
        return False

    def readinto(self, buffer):
        handle = self._checked()
        if not self._reads:
            raise io.UnsupportedOperation("File not open for reading")
        view = memoryview(buffer).cast("B")
        data = handle.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size=-1):
        handle = self._checked()
        if not self._reads:
            raise io.UnsupportedOperation("File not open for reading")
        return handle.read(len(handle.node.content) if size is None or size < 0 else size)

    def readall(self):
        return self.read()

    def write(self, data):
        handle = self._checked()
        if not self._writes:
            raise io.UnsupportedOperation("File not open for writing")
        return handle.write(data)

    def seek(self, offset, whence=0):
        return self._checked().seek(offset, whence)

    def tell(self):
        return self._checked().at

    def truncate(self, size=None):
        handle = self._checked()
        if not self._writes:
            raise io.UnsupportedOperation("File not open for writing")
        size = handle.at if size is None else size
        handle.truncate(size)
        return size

    def close(self):
        if not self.closed:
            super().close()
            if self._closefd:
                _tree.open.pop(self._fd, None)

    def __repr__(self):
        if self.closed:
            return "<_io.FileIO [closed]>"
        return f"<_io.FileIO name={self.name!r} mode={self.mode!r} closefd={self._closefd}>"


_io_open = io.open


def open_(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
    """Open file and return a stream.  Raise OSError upon failure."""
    if not isinstance(file, int):
        file = os.fspath(file)
    elif file in (0, 1, 2):
        return _io_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
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
            buffer = io.BufferedRandom(raw, size)
        elif "r" in kinds:
            buffer = io.BufferedReader(raw, size)
        else:
            buffer = io.BufferedWriter(raw, size)
        if binary:
            return buffer
        stream = io.TextIOWrapper(buffer, encoding or "utf-8", errors, newline, buffering == 1)
        stream.mode = mode
        return stream
    except BaseException:
        raw.close()
        raise


def open_code(path):
    """A file of code, opened for reading."""
    return open_(path, "rb")


# --- the functions of `os` -------------------------------------------------------------------------------------------


def _stat(path, *, dir_fd=None, follow_symlinks=True):
    if isinstance(path, int):
        return _fstat(path)
    normal = _absolute(path)
    if normal == _NULL:
        return Stat(Node(stat.S_IFCHR | 0o666, bytearray()))
    return Stat(_node(normal) if _above_mine(normal) else _found(path))


def _lstat(path, *, dir_fd=None):
    return _stat(path)


def _fstat(fd):
    return _real["fstat"](fd) if fd in (0, 1, 2) else Stat(_handle(fd).node)


def _folder(path):
    node = _tree.root if path is None else _handle(path).node if isinstance(path, int) else _found(path)
    if not node.folder:
        raise NotADirectoryError(20, "Not a directory", path)
    return node


def _listdir(path="."):
    names = sorted(_folder("." if path is None else path).content)
    return [os.fsencode(n) for n in names] if isinstance(path, bytes) else names


def _scandir(path="."):
    shown = "." if path is None or isinstance(path, int) else os.fsdecode(path)
    return Entries([Entry(shown, name, node) for name, node in sorted(_folder("." if path is None else path).content.items())])


def _mkdir(path, mode=0o777, *, dir_fd=None):
    if (node := _node(_absolute(path))) is not None:
        raise FileExistsError(17, "File exists", path)
    folder, name = _place(path)
    folder[name] = Node(stat.S_IFDIR | mode & 0o755, {})


def _rmdir(path, *, dir_fd=None):
    node = _folder(path)
    if node.content:
        raise errors.error(39, path)
    folder, name = _place(path)
    del folder[name]


def _unlink(path, *, dir_fd=None):
    if _found(path).folder:
        raise IsADirectoryError(21, "Is a directory", path)
    folder, name = _place(path)
    del folder[name]


def _replace(src, dst, *, src_dir_fd=None, dst_dir_fd=None):
    node = _found(src)
    there, old = _place(src, None, dst)
    folder, name = _place(dst)
    taken = folder.get(name)
    if taken is node:
        return
    if taken is not None:
        if taken.folder and not node.folder:
            raise IsADirectoryError(21, "Is a directory", src, None, dst)
        if node.folder and not taken.folder:
            raise NotADirectoryError(20, "Not a directory", src, None, dst)
        if taken.folder and taken.content:
            raise errors.error(39, src, dst)
    if node.folder and (_absolute(dst) + "/").startswith(_absolute(src) + "/"):
        raise errors.error(22, src, dst)
    folder[name] = node
    del there[old]


def _access(path, mode, *, dir_fd=None, effective_ids=False, follow_symlinks=True):
    try:
        _stat(path)
    except OSError:
        return False
    return True


def _chmod(path, mode, *, dir_fd=None, follow_symlinks=True):
    node = _handle(path).node if isinstance(path, int) else _found(path)
    node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)


def _utime(path, times=None, *, ns=None, dir_fd=None, follow_symlinks=True):
    node = _handle(path).node if isinstance(path, int) else _found(path)
    node.touch(ns[1] if ns else int(times[1] * 1e9) if times else None)


def _truncate(path, length):
    node = _handle(path).node if isinstance(path, int) else _found(path)
    Handle(node, os.O_RDWR, None).truncate(length)


def _chdir(path):
    _folder(path)
    _tree.cwd = _absolute(path)


def _getcwd():
    return _tree.cwd


def _getcwdb():
    return os.fsencode(_tree.cwd)


def _no_links(src, dst=None, *args, **options):
    raise PermissionError(1, "Operation not permitted", src)


def _readlink(path, *, dir_fd=None):
    _found(path)
    raise errors.error(22, path)


def _close(fd):
    if fd in (0, 1, 2):
        return
    _handle(fd)
    del _tree.open[fd]


def _closerange(low, high):
    for fd in [fd for fd in _tree.open if low <= fd < high]:
        del _tree.open[fd]


def _read(fd, length):
    return _real["read"](fd, length) if fd in (0, 1, 2) else _handle(fd).read(length)


def _write(fd, data):
    return _real["write"](fd, data) if fd in (0, 1, 2) else _handle(fd).write(data)


def _lseek(fd, position, whence):
    return _handle(fd).seek(position, whence)


def _ftruncate(fd, length):
    _handle(fd).truncate(length)


def _dup(fd):
    handle = _handle(fd)
    new = max(_tree.open, default=2) + 1
    _tree.open[new] = handle
    return new


def _nothing(fd, *args):
    if fd not in (0, 1, 2):
        _handle(fd)


def _isatty(fd):
    return False


_FUNCTIONS = {
    "open": _open, "close": _close, "closerange": _closerange, "read": _read, "write": _write, "lseek": _lseek, "dup": _dup,
    "ftruncate": _ftruncate, "truncate": _truncate, "fsync": _nothing, "fdatasync": _nothing, "isatty": _isatty,
    "stat": _stat, "lstat": _lstat, "fstat": _fstat, "listdir": _listdir, "scandir": _scandir, "mkdir": _mkdir,
    "rmdir": _rmdir, "unlink": _unlink, "remove": _unlink, "rename": _replace, "replace": _replace, "access": _access,
    "chmod": _chmod, "utime": _utime, "chdir": _chdir, "getcwd": _getcwd, "getcwdb": _getcwdb, "symlink": _no_links,
    "link": _no_links, "readlink": _readlink,
}
_real = {"fstat": posix.fstat, "read": posix.read, "write": posix.write}


def install(replacements):
    import builtins
    import shutil
    import _io

    for name, function in _FUNCTIONS.items():
        function.__name__ = function.__qualname__ = name
        replacements.put(posix, name, function)
        setattr(os, name, function)
    open_.__name__ = open_.__qualname__ = "open"
    for module in (builtins, io, _io):
        replacements.put(module, "open", open_)
    for module in (io, _io):
        replacements.put(module, "FileIO", FileIO)
        replacements.put(module, "open_code", open_code)
    os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks = set(), set(), set()
    shutil._use_fd_functions = shutil.rmtree.avoids_symlink_attacks = False
    shutil._USE_CP_SENDFILE = False
    clear()
