"""The program's own files: below its working directory and /tmp, on a file system that is gone with the process.

What a cell changed is found by looking at all of them before and after it.
"""

import os
import stat
import sys

from . import host, library
from .paths import HOME

OWN = (HOME, "/tmp")
FOLDER, GONE = True, None
# What a cell may leave in all, in bytes.
MOST = 64 << 20
# Clocks of file systems are coarse: a file that is younger may be changed again without getting another time. In ns.
_YOUNG = 50_000_000
# One step of such a clock, at the slowest that kernels have. In seconds.
_TICK = 0.01

# Path -> what `lstat` tells of it, parents first.
_seen = {}


class _Tree:
    cwd = property(lambda self: os.getcwd())


tree = _Tree()


def give(files):
    """Lays out the files that came with a program."""
    for path, content in files:
        if not is_own(path):
            host.lack("FILES", path)
        _write(path, content)


def enter(folder):
    """Makes a folder the working directory, where one is named."""
    if host.silent and not folder:
        return
    folder = os.path.join(HOME, folder or "")
    try:
        os.makedirs(folder, exist_ok=True)
        os.chdir(folder)
    except OSError as error:
        print(f"switchtower: no working directory {folder}: {error.strerror}", file=sys.stderr)


def is_own(path):
    """Whether a path lies where the program may write."""
    path = os.path.abspath(os.fsdecode(path))
    return any(path == own or path.startswith(own + "/") for own in OWN)


def apply(changes):
    """Lays out changes from outside: pairs of a path and its content (bytes), `FOLDER` or `GONE`."""
    for path, content in changes:
        path = os.path.join(HOME, path)
        if content is GONE:
            _remove(path)
        elif content is FOLDER:
            _clear_way(path)
        else:
            _write(path, content)
    _forget_folders()


def _write(path, content):
    path = os.path.join(HOME, path)
    _clear_way(os.path.dirname(path))
    if os.path.isdir(path) and not os.path.islink(path):
        _remove(path)
    with open(path, "wb") as file:
        file.write(content)


def _clear_way(folder):
    """Makes a folder. A file in its way is replaced."""
    above = folder
    while above not in OWN and len(above) > 1:
        if os.path.lexists(above) and not os.path.isdir(above):
            os.unlink(above)
        above = os.path.dirname(above)
    os.makedirs(folder, exist_ok=True)


def _remove(path):
    try:
        if os.path.isdir(path) and not os.path.islink(path):
            import shutil

            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    except OSError:
        pass


def _forget_folders():
    """Imports look again for modules that were written meanwhile."""
    for folder in [folder for folder in sys.path_importer_cache if folder == "" or is_own(folder)]:
        finder = sys.path_importer_cache[folder]
        if finder is None:
            del sys.path_importer_cache[folder]
        elif hasattr(finder, "invalidate_caches"):
            finder.invalidate_caches()


def remember():
    """From here on changes are the next cell's."""
    global _seen
    if host.silent:
        return
    import time

    _seen, now, waits = _walk(), time.time_ns(), False
    for path, told in _seen.items():
        if stat.S_ISREG(told[0]) and abs(now - told[1]) < _YOUNG:
            # One nanosecond later than any tick of the file system's clock: a change now gets another time.
            at = told[1] + 1
            try:
                os.utime(path, ns=(at, at))
                at = os.stat(path).st_mtime_ns
            except OSError:
                at = told[1]
            _seen[path] = (told[0], at, *told[2:])
            waits = waits or at == told[1]
    if waits:
        # Behind some walls nobody sets times: then the clock is to go on first.
        time.sleep(_TICK)


def made():
    """What changed since: a list of pairs as `apply` takes them, parents before their children."""
    global _seen
    before, now = _seen, _walk()
    _seen = now
    changes, room, left_out = [], MOST, 0
    for path, told in before.items():
        if path not in now:
            above = os.path.dirname(path)
            # What was in it went with a folder.
            if above not in before or above in now and stat.S_ISDIR(now[above][0]):
                changes.append((path, GONE))
    for path, told in now.items():
        old = before.get(path)
        if stat.S_ISDIR(told[0]):
            if old is None or not stat.S_ISDIR(old[0]):
                changes.append((path, FOLDER))
        elif old != told:
            if told[2] > room:
                left_out += 1
                continue
            try:
                with open(path, "rb") as file:
                    content = file.read(room)
            except OSError:
                continue
            room -= len(content)
            changes.append((path, content))
    if left_out:
        what = "1 file is" if left_out == 1 else f"{left_out} files are"
        print(
            f"switchtower: {what} kept in this kernel alone: a cell may leave {MOST >> 20} MB in all", file=sys.stderr
        )
    return changes


def _walk():
    """Mode, time, size and number of everything that is a folder or holds a content."""
    seen, waiting = {}, list(reversed(OWN))
    while waiting:
        path = waiting.pop()
        try:
            told = os.lstat(path)
            if stat.S_ISLNK(told.st_mode):
                # Who is told of files knows no links: a link to a file is a file of that content.
                told = os.stat(path)
                if not stat.S_ISREG(told.st_mode):
                    continue
            if stat.S_ISDIR(told.st_mode):
                if f"{path}/".startswith(library.folders):
                    # An installation may lie below a program's own folders: nobody writes there.
                    continue
                seen[path] = (told.st_mode, 0, 0, 0)
                waiting.extend(f"{path}/{name}" for name in sorted(os.listdir(path), reverse=True))
            elif stat.S_ISREG(told.st_mode):
                seen[path] = (told.st_mode, told.st_mtime_ns, told.st_size, told.st_ino)
        except OSError:
            continue
    return seen


def forget():
    """As if no cell had run."""
    global _seen
    _seen = {}
