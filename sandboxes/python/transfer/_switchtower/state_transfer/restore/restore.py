"""Restores the state of a session in another kernel, in the cloud or here.

The cells run again, and what they give is compared with what `export_state` of the kernel before exported, name by name,
by the same text (`digest`). A name that came out different is overwritten from its pickled value; one that has none ends
the restore with a sentence that names the variable and the cell. State is never silently wrong.

The host runs this in one hidden cell, as modules that leave no name behind (`modules.load`). Nothing in it is awaited: a
cell with `await` runs in a context of its own, and what the cells set in theirs (decimal's precision) would end with it.
Compiling these modules and `digest` takes longer than the work on a small state, so a host may load them when it makes
the kernel, and call `prepare`.

A cell that was cut short, or refused what is available here, is not run: here it would do what it did not do there. What
it left in names is transferred like all that differs; where it may have left something that is not compared, the restore
fails.
"""

from __future__ import annotations

import json
import time
import types
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from . import modules
from .errors import NotTransferable
from .reconcile import Reconciliation
from .replay import Replay

if TYPE_CHECKING:
    from ..schema import RestoreRequest, RestoreVerdict

_DIGEST_PACKAGE = "_switchtower_digest"
# Digest packages that were loaded, with the sources that they were made of.
_prepared: list[tuple[list[tuple[str, str]], types.ModuleType]] = []


def prepare(sources: Iterable[Sequence[str]]) -> types.ModuleType:
    """Returns the package that makes the digests."""
    texts = [(name, text) for name, text in sources]
    for known, package in _prepared:
        if known == texts:
            return package
    package = modules.load(_DIGEST_PACKAGE, texts)
    _prepared.append((texts, package))
    return package


def restore(given: str) -> str:
    """Returns the verdict as JSON (`RestoreVerdict`); `given` is JSON, too (`RestoreRequest`), or the path of a file with it."""
    began = time.perf_counter()
    if not given.lstrip().startswith("{"):
        with open(given, encoding="utf-8") as file:
            given = file.read()
    request: RestoreRequest = json.loads(given)
    replay = Replay(request)
    verdict = _verdict(replay)
    replay.set_execution_count()
    if replay.loop is not None:
        replay.loop.close()
    verdict["ms"] = round((time.perf_counter() - began) * 1000, 2)
    return json.dumps(verdict)


def _verdict(replay: Replay) -> RestoreVerdict:
    try:
        # Before the cells, which may replace what it uses.
        digest = prepare(replay.state["digest_sources"])
        replay.run()
        transferred = Reconciliation(replay, digest).run()
        return {"ok": True, "replayed": len(replay.cells), "transferred": transferred, "ms": 0}
    except NotTransferable as error:
        return {"ok": False, "cell": error.cell, "name": error.name, "reason": error.reason, "ms": 0}
    except Exception as error:  # a mistake of ours: a state that was not checked is not handed out
        reason = f"the state could not be checked ({type(error).__name__}: {str(error)[:200]})"
        return {"ok": False, "cell": None, "name": None, "reason": reason, "ms": 0}
