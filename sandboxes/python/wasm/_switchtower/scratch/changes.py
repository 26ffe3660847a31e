"""Changes of the tree: from outside between two cells, and by a cell itself.

Contents are never compared: every change of a node is counted where it is made. The tree is walked only if the count
has changed.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from typing import Any

from ..paths import OWN_FOLDERS
from .tree import Node, absolute, node_at, tree

FOLDER, REMOVED = "folder", "removed"

# Path -> the node there and its version, parents first; and the count of changes it was taken at.
_seen: dict[str, tuple[Node, int]] = {}
_version = -1


def apply(changes: Iterable[tuple[str, Any]]) -> None:
    """Applies changes from outside: pairs of a path and its content (bytes), `FOLDER` or `REMOVED`."""
    for path, content in changes:
        path = absolute(path)
        above, _, name = path.rpartition("/")
        if not name:
            continue
        if content is REMOVED:
            folder = node_at(above or "/")
            if folder is not None and folder.folder and folder.content.pop(name, None) is not None:
                tree.change()
            continue
        folder = _made(above)
        node = folder.content.get(name)
        if content is FOLDER:
            if node is None or not node.folder:
                folder.content[name] = Node(stat.S_IFDIR | 0o755, {})
                tree.change()
        elif node is None or node.folder:
            folder.content[name] = Node(stat.S_IFREG | 0o644, bytearray(content))
            tree.change()
        else:
            # In place, as another process would write it: who has the file open sees the new content.
            node.content[:] = content
            node.changed()


def _made(path: Any) -> Any:
    """Returns the folder at a path. A file in its way is replaced."""
    node = tree.root
    for part in path.split("/"):
        if part:
            below = node.content.get(part)
            if below is None or not below.folder:
                below = node.content[part] = Node(stat.S_IFDIR | 0o755, {})
                tree.change()
            node = below
    return node


def mark() -> None:
    """Marks the start of the next cell."""
    global _seen, _version
    if _version != tree.version:
        _seen, _version = _walk(), tree.version


def take_changes() -> Any:
    """Returns what changed since `mark`: a list of pairs as `apply` takes them."""
    global _seen, _version
    if _version == tree.version:
        return []
    before, now = _seen, _walk()
    _seen, _version = now, tree.version
    changes: list[tuple[str, Any]] = []
    for path in before:
        if path not in now:
            above = path.rpartition("/")[0]
            # A removed folder includes what was in it.
            if above not in before or above in now and now[above][0].folder:
                changes.append((path, REMOVED))
    for path, (node, version) in now.items():
        old, old_version = before.get(path, (None, None))
        if node.folder:
            if old is None or not old.folder:
                changes.append((path, FOLDER))
        elif old is not node or old_version != version:
            changes.append((path, bytes(node.content)))
    return changes


def _walk() -> Any:
    seen = {}
    waiting = [(own, node_at(own)) for own in reversed(OWN_FOLDERS)]
    while waiting:
        path, node = waiting.pop()
        if node is not None:
            seen[path] = (node, node.version)
            if node.folder:
                waiting.extend((f"{path}/{name}", below) for name, below in reversed(node.content.items()))
    return seen


def reset() -> None:
    """Forgets the mark."""
    global _seen, _version
    _seen, _version = {}, -1
