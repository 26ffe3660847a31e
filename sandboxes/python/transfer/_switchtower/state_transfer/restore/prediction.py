"""Whether the restore of an exported state must fail: found before there is a kernel to restore it in.

The host runs this in the kernel that exported the state. A restore may fail for other reasons too; what this finds fails
in every kernel.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from .taint import PLAIN_TYPES, TaintAnalysis


def bare(key: str) -> str:
    """Returns the name in `__main__` through which a root is reached."""
    return key if key.startswith("Out[") else key.partition(".")[0]


def is_never_named(name: str, sources: Iterable[str]) -> bool:
    """Returns whether a name came with all the names of a module, of which this version has fewer, and was never used."""
    text = "\n".join(sources)
    return "import *" in text and re.search(rf"\b{re.escape(name)}\b", text) is None


def describe_opaque(what: str, reason: str) -> str:
    """Returns why a value that cannot be compared keeps a state where it is."""
    return f"{what} whose making was not the same there can be neither replayed nor transferred: {reason}"


def predict(given: str) -> str:
    """Returns a verdict as JSON (`RestoreVerdict`). `given` is JSON with the cells, and with the groups of the state as
    `Group` has them but for `pickled`, which says whether there is one."""
    request = json.loads(given)
    failure = _failure(request["cells"], request["groups"], vars(sys.modules["__main__"]))
    return json.dumps({"ok": failure is None, "ms": 0, **(failure or {})})


def _failure(
    cells: list[dict[str, Any]], groups: list[dict[str, Any]], names: Mapping[str, Any]
) -> dict[str, Any] | None:
    if all(cell["pure"] for cell in cells):
        return None
    read = [(cell["number"], cell["code"], not cell["pure"], cell["incomplete"]) for cell in cells]
    opaque = {bare(name) for group in groups for name in group["opaque"]}
    plain = {name for name in names if type(names[name]) in PLAIN_TYPES}
    analysis = TaintAnalysis(read, (), opaque, plain)
    for number, reason in analysis.unchecked:
        return {"cell": number, "reason": f"{reason}; that can be neither replayed nor transferred"}
    sources = [cell["code"] for cell in cells]
    for group in groups:
        if group["pickled"] or not group["opaque"] or not analysis.tainted & {bare(name) for name in group["names"]}:
            continue
        if all(name.startswith("Out[") or is_never_named(name, sources) for name in group["names"]):
            continue
        name, what = next(iter(group["opaque"].items()))
        reason = describe_opaque(what, group.get("reason") or "it cannot be transferred")
        return {"cell": analysis.bound.get(bare(name)), "name": name, "reason": reason}
    return None
