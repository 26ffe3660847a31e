"""The functions of `os`, over the tree."""

from __future__ import annotations

import _io
import builtins
import io
import os
import posix
import shutil
import stat
from typing import Any

from .. import os_errors
from ..replacements import Replacements
from .files import FileIO, Handle, handle_of, open_, open_code, open_fd
from .status import Entries, Entry, Stat
from .tree import NULL, Node, absolute, clear, found, is_above_own, node_at, place_of, tree


def _stat(path: Any, *, dir_fd: Any = None, follow_symlinks: Any = True) -> Any:
    if isinstance(path, int):
        return _fstat(path)
    normal = absolute(path)
    if normal == NULL:
        return Stat(Node(stat.S_IFCHR | 0o666, bytearray()))
    above = node_at(normal) if is_above_own(normal) else None
    return Stat(above or found(path))


def _lstat(path: Any, *, dir_fd: Any = None) -> Any:
    return _stat(path)


def _fstat(fd: int) -> Any:
    return _real["fstat"](fd) if fd in (0, 1, 2) else Stat(handle_of(fd).node)


def _folder(path: Any) -> Any:
    node = tree.root if path is None else handle_of(path).node if isinstance(path, int) else found(path)
    if not node.folder:
        raise NotADirectoryError(20, "Not a directory", path)
    return node


def _listdir(path: Any = ".") -> Any:
    names = sorted(_folder("." if path is None else path).content)
    return [os.fsencode(n) for n in names] if isinstance(path, bytes) else names


def _scandir(path: Any = ".") -> Any:
    shown = "." if path is None or isinstance(path, int) else os.fsdecode(path)
    return Entries(
        [Entry(shown, name, node) for name, node in sorted(_folder("." if path is None else path).content.items())]
    )


def _mkdir(path: Any, mode: int = 0o777, *, dir_fd: Any = None) -> None:
    if node_at(absolute(path)) is not None:
        raise FileExistsError(17, "File exists", path)
    folder, name = place_of(path)
    folder[name] = Node(stat.S_IFDIR | mode & 0o755, {})
    tree.change()


def _rmdir(path: Any, *, dir_fd: Any = None) -> None:
    node = _folder(path)
    if node.content:
        raise os_errors.error(39, path)
    folder, name = place_of(path)
    del folder[name]
    tree.change()


def _unlink(path: Any, *, dir_fd: Any = None) -> None:
    if found(path).folder:
        raise IsADirectoryError(21, "Is a directory", path)
    folder, name = place_of(path)
    del folder[name]
    tree.change()


def _replace(src: Any, dst: Any, *, src_dir_fd: Any = None, dst_dir_fd: Any = None) -> None:
    node = found(src)
    there, old = place_of(src, None, dst)
    folder, name = place_of(dst)
    taken = folder.get(name)
    if taken is node:
        return
    if taken is not None:
        if taken.folder and not node.folder:
            raise IsADirectoryError(21, "Is a directory", src, None, dst)
        if node.folder and not taken.folder:
            raise NotADirectoryError(20, "Not a directory", src, None, dst)
        if taken.folder and taken.content:
            raise os_errors.error(39, src, dst)
    if node.folder and (absolute(dst) + "/").startswith(absolute(src) + "/"):
        raise os_errors.error(22, src, dst)
    folder[name] = node
    del there[old]
    tree.change()


def _access(
    path: Any, mode: int, *, dir_fd: Any = None, effective_ids: Any = False, follow_symlinks: Any = True
) -> bool:
    try:
        _stat(path)
    except OSError:
        return False
    return True


def _chmod(path: Any, mode: int, *, dir_fd: Any = None, follow_symlinks: Any = True) -> None:
    node = handle_of(path).node if isinstance(path, int) else found(path)
    node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)


def _utime(path: Any, times: Any = None, *, ns: Any = None, dir_fd: Any = None, follow_symlinks: Any = True) -> None:
    node = handle_of(path).node if isinstance(path, int) else found(path)
    node.touch(ns[1] if ns else int(times[1] * 1e9) if times else None)


def _truncate(path: Any, length: Any) -> None:
    node = handle_of(path).node if isinstance(path, int) else found(path)
    Handle(node, os.O_RDWR, None).truncate(length)


def _chdir(path: Any) -> None:
    _folder(path)
    tree.cwd = absolute(path)


def _getcwd() -> Any:
    return tree.cwd


def _getcwdb() -> Any:
    return os.fsencode(tree.cwd)


def _no_links(src: Any, dst: Any = None, *args: Any, **options: Any) -> None:
    raise PermissionError(1, "Operation not permitted", src)


def _readlink(path: Any, *, dir_fd: Any = None) -> None:
    found(path)
    raise os_errors.error(22, path)


def _close(fd: int) -> None:
    if fd in (0, 1, 2):
        return
    handle_of(fd)
    del tree.open[fd]


def _closerange(low: Any, high: Any) -> None:
    for fd in [fd for fd in tree.open if low <= fd < high]:
        del tree.open[fd]


def _read(fd: int, length: Any) -> Any:
    return _real["read"](fd, length) if fd in (0, 1, 2) else handle_of(fd).read(length)


def _write(fd: int, data: Any) -> Any:
    return _real["write"](fd, data) if fd in (0, 1, 2) else handle_of(fd).write(data)


def _lseek(fd: int, position: Any, whence: int) -> Any:
    return handle_of(fd).seek(position, whence)


def _ftruncate(fd: int, length: Any) -> None:
    handle_of(fd).truncate(length)


def _dup(fd: int) -> Any:
    handle = handle_of(fd)
    new = max(tree.open, default=2) + 1
    tree.open[new] = handle
    return new


def _nothing(fd: int, *args: Any) -> None:
    if fd not in (0, 1, 2):
        handle_of(fd)


def _isatty(fd: int) -> bool:
    return False


_FUNCTIONS = {
    "open": open_fd,
    "close": _close,
    "closerange": _closerange,
    "read": _read,
    "write": _write,
    "lseek": _lseek,
    "dup": _dup,
    "ftruncate": _ftruncate,
    "truncate": _truncate,
    "fsync": _nothing,
    "fdatasync": _nothing,
    "isatty": _isatty,
    "stat": _stat,
    "lstat": _lstat,
    "fstat": _fstat,
    "listdir": _listdir,
    "scandir": _scandir,
    "mkdir": _mkdir,
    "rmdir": _rmdir,
    "unlink": _unlink,
    "remove": _unlink,
    "rename": _replace,
    "replace": _replace,
    "access": _access,
    "chmod": _chmod,
    "utime": _utime,
    "chdir": _chdir,
    "getcwd": _getcwd,
    "getcwdb": _getcwdb,
    "symlink": _no_links,
    "link": _no_links,
    "readlink": _readlink,
}
_real: dict[str, Any] = {"fstat": posix.fstat, "read": posix.read, "write": posix.write}


def install(replacements: Replacements) -> None:
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
