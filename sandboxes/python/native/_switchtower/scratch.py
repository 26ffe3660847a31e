"""The program's own files: below its working directory and /tmp, on a file system that is gone with the process.

What a cell changed is found by comparing all of them before and after it.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable
from typing import Any

from . import host, imports
from .paths import HOME, OWN_FOLDERS

FOLDER, REMOVED = True, None
# What a cell may leave in all, in bytes.
MAX_BYTES = 64 << 20
# Clocks of file systems are coarse: a file that is younger may be changed again without getting another time. In ns.
_YOUNG = 50_000_000
# One step of such a clock, at the slowest that kernels have. In seconds.
_TICK = 0.01

# Path to mode, time, size and number, parents first.
_seen: dict[str, tuple[int, int, int, int]] = {}


class _Tree:
    cwd = property(lambda self: os.getcwd())


tree = _Tree()


def write_files(files: Iterable[Any]) -> None:
    """Writes the files that came with a program."""
    for path, content in files:
        if not is_own(path):
            host.report_need("FILES", path)
        _write(path, content)


def set_working_directory(folder: Any) -> None:
    """Makes a folder the working directory, where one is named."""
    if host.silent and not folder:
        return
    folder = os.path.join(HOME, folder or "")
    try:
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
    except OSError as error:
        print(f"switchtower: no working directory {folder}: {error.strerror}", file=sys.stderr)


def is_own(path: Any) -> bool:
    """Returns whether a path is where the program may write."""
    path = os.path.abspath(os.fsdecode(path))
    return any(path == own or path.startswith(own + "/") for own in OWN_FOLDERS)


def apply(changes: Iterable[tuple[str, Any]]) -> None:
    """Applies changes from outside: pairs of a path and its content (bytes), `FOLDER` or `REMOVED`."""
    for path, content in changes:
        path = os.path.join(HOME, path)
        if content is REMOVED:
            _remove(path)
        elif content is FOLDER:
            _make_folder(path)
        else:
            _write(path, content)
    _invalidate_import_caches()


def _write(path: Any, content: Any) -> None:
    path = os.path.join(HOME, path)
    _make_folder(os.path.dirname(path))
    if os.path.isdir(path) and not os.path.islink(path):
        _remove(path)
    with open(path, "wb") as file:
        file.write(content)


def _make_folder(folder: Any) -> None:
    """Makes a folder. A file in its way is replaced."""
    above = folder
    while above not in OWN_FOLDERS and len(above) > 1:
        if os.path.lexists(above) and not os.path.isdir(above):
            os.unlink(above)
        above = os.path.dirname(above)
    os.makedirs(folder, exist_ok=True)


def _remove(path: Any) -> None:
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            import shutil

            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    except OSError:
        pass


def _invalidate_import_caches() -> None:
    """Lets imports look again for modules that were written meanwhile."""
    for folder in [folder for folder in sys.path_importer_cache if folder == "" or is_own(folder)]:
        finder = sys.path_importer_cache[folder]
        if finder is None:
            del sys.path_importer_cache[folder]
        elif hasattr(finder, "invalidate_caches"):
            finder.invalidate_caches()


def mark() -> None:
    """Marks the start of the next cell."""
    global _seen
    if host.silent:
        return
    import time

    _seen, now, waits = _walk(), time.time_ns(), False
    for path, status in _seen.items():
        if stat.S_ISREG(status[0]) and abs(now - status[1]) < _YOUNG:
            # One nanosecond later than any tick of the file system's clock: a change now gets another time.
            at = status[1] + 1
            try:
                os.utime(path, ns=(at, at))
                at = os.stat(path).st_mtime_ns
            except OSError:
                at = status[1]
            _seen[path] = (status[0], at, *status[2:])
            waits = waits or at == status[1]
    if waits:
        # In some jails times cannot be set: then the clock must move on first.
        time.sleep(_TICK)


def take_changes() -> Any:
    """Returns what changed since `mark`: a list of pairs as `apply` takes them, parents before their children."""
    global _seen
    before, now = _seen, _walk()
    _seen = now
    changes: list[tuple[str, bytes | bool | None]] = []
    left, left_out = MAX_BYTES, 0
    for path in before:
        if path not in now:
            above = os.path.dirname(path)
            # A removed folder includes what was in it.
            if above not in before or above in now and stat.S_ISDIR(now[above][0]):
                changes.append((path, REMOVED))
    for path, status in now.items():
        old = before.get(path)
        if stat.S_ISDIR(status[0]):
            if old is None or not stat.S_ISDIR(old[0]):
                changes.append((path, FOLDER))
        elif old != status:
            if status[2] > left:
                left_out += 1
                continue
            try:
                with open(path, "rb") as file:
                    content = file.read(left)
            except OSError:
                continue
            left -= len(content)
            changes.append((path, content))
    if left_out:
        what = "1 file is" if left_out == 1 else f"{left_out} files are"
        print(
            f"switchtower: {what} kept in this kernel alone: a cell may leave {MAX_BYTES >> 20} MB in all",
            file=sys.stderr,
        )
    return changes


def _walk() -> Any:
    """Returns mode, time, size and number of all folders and files."""
    seen, waiting = {}, list(reversed(OWN_FOLDERS))
    while waiting:
        path = waiting.pop()
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                # Changes have no links: a link to a file is a file of that content.
                status = os.stat(path)
                if not stat.S_ISREG(status.st_mode):
                    continue
            if stat.S_ISDIR(status.st_mode):
                if f"{path}/".startswith(imports.library_folders):
                    # An installation may be below a program's own folders: it is not written to.
                    continue
                seen[path] = (status.st_mode, 0, 0, 0)
                waiting.extend(f"{path}/{name}" for name in sorted(os.listdir(path), reverse=True))
            elif stat.S_ISREG(status.st_mode):
                seen[path] = (status.st_mode, status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError:
            continue
    return seen


def reset() -> None:
    """Forgets the mark."""
    global _seen
    _seen = {}
