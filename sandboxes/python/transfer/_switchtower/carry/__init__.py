"""Tells the state of a session, so that a cloud kernel can rebuild it and check that it did.

The cloud kernel runs the cells again; what it then has is compared with the digests told here, and what differs is
overwritten from the parcels told here. `src/session/arrive/` is the other side.

`tell` takes and gives JSON. Options, all of them optional:
  files   file name -> number: the cells' code, as tracebacks name it; else any number in the file name counts
  env     the environment that the session began with
  home    the working directory that it began with
  limit   how many bytes may be carried (32 MiB)
What it gives, of which a host need look at nothing:
  groups  [{names, digest, loose, opaque, parcel, why}]: names that share what can change
  settings, canon (the text that makes the digests), outputs (whether `__main__` has an `Out`), python, ms

`carry` is to be imported while the snapshot is made, and `carry.settle()` to be called last of all there.
"""

import io
import json
import re
import sys
import time

from .. import host
from . import canon, parcel, settings

LIMIT = 32 << 20

# Read when this is imported: later there may be no file system to read it from.
CANON = host.source(canon)

# Where a program finds what the guest put in a library's place.
_PUBLIC = "builtins io os time random socket subprocess threading asyncio posix shutil select multiprocessing".split()


known = frozenset(sys.modules)


def settle():
    """The last thing before the snapshot: what is imported by now is no program's."""
    global known
    known = frozenset(sys.modules)
    tell()


class Numbers(dict):
    """The number of a cell by its file name, where the host did not tell: the last one in the name."""

    def get(self, file, default=None):
        found = self.setdefault(file, default)
        if found is None and not file.startswith(("/usr", "/python", "/1/")) and not file.endswith(".so"):
            digits = re.findall(r"\d+", file)
            found = self[file] = int(digits[-1]) if digits and (file[0] == "<" or "cell" in file) else None
        return found


def tell(options="{}"):
    began = time.perf_counter()
    options = json.loads(options)
    streams = sys.stdout, sys.stderr
    main = sys.modules["__main__"]
    files = options.get("files")
    view = canon.View(main, Numbers() if files is None else files, (options.get("home") or "/home/user", "/tmp/"),
                      alias=_public, known=known)
    try:
        # What a program's own `__reduce__` prints is not output of a cell.
        sys.stdout = sys.stderr = io.StringIO()
        groups = _groups(view, view.roots(), options.get("limit", LIMIT))
    finally:
        sys.stdout, sys.stderr = streams
    told = {"groups": groups, "settings": settings.tell(options.get("env"), options.get("home")), "canon": CANON,
            "outputs": isinstance(vars(main).get("Out"), dict), "python": list(sys.version_info[:2]),
            "ms": round((time.perf_counter() - began) * 1000, 2)}
    return json.dumps(told)


def _groups(view, roots, limit):
    encoders = canon.survey(view, roots)
    told, room = [], limit
    for names in canon.groups(encoders):
        group = {name: roots[name] for name in names}
        encoder = encoders[names[0]] if len(names) == 1 else canon.together(view, group)
        opaque, lossy = {}, {}
        for name in names:
            opaque.update(encoders[name].opaque)
            lossy.update(encoders[name].lossy)
        entry = {"names": names, "digest": encoder.digest(), "opaque": opaque}
        if encoder.library:
            entry["loose"] = canon.together(view, group, loose=True).digest()
        if lossy:
            entry["why"] = f"it holds {next(iter(lossy.values()))}, which cannot be carried"
        else:
            text, why = parcel.pack(view, group, room)
            if text is not None:
                entry["parcel"] = text
                room -= len(text) * 3 // 4
            else:
                entry["why"] = why or (
                    f"it is too large to be carried (at most {_size(limit)} in all, of which {_size(room)} are left)")
        told.append(entry)
    return told


def _size(count):
    for unit in ("bytes", "kB", "MB"):
        if count < 10_000:
            return f"{count} {unit}"
        count //= 1024
    return f"{count} GB"


def _public(thing):
    name = getattr(thing, "__name__", None)
    for module in _PUBLIC:
        if name is not None and getattr(sys.modules.get(module), name, None) is thing:
            return module, name
    return None
