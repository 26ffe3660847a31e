"""Files as the client left them before a cell."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..schema import Change


def apply_change(change: Change, home: str) -> None:
    """Makes a file or folder what it was then."""
    path = os.path.join(home, change["path"])
    if change.get("removed"):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(path)
    elif change.get("folder"):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(change["content"]))


def is_applied(change: Change, home: str) -> bool:
    """Returns whether a file or folder is what it was then. Others use it by now, so it must not be put back."""
    path = os.path.join(home, change["path"])
    if change.get("removed"):
        return not os.path.exists(path)
    if change.get("folder"):
        return os.path.isdir(path)
    try:
        with open(path, "rb") as file:
            return file.read() == base64.b64decode(change["content"])
    except OSError:
        return False
