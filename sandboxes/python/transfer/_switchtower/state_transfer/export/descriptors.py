"""Finds the names of a program that lead to the number of an open file: in another kernel it is another file's, or none's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..digest import groups
from ..digest.threads import loop_of_kernel
from ..digest.view import View

WHAT = "the number of an open file"
# What gives a program such numbers. Others have the numbers by chance.
_GIVES_NUMBERS = re.compile(
    r"\bos\s*\.\s*(open|pipe2?|dup2?|memfd_create|eventfd|timerfd_create|pidfd_open)\b|\bfileno\b|\bdetach\b|\bmkstemp\b"
    r"|\bopenpty\b|\bF_DUPFD|\bfrom\s+(os|posix|fcntl|pty)\s+import\b"
)
# A kernel's own are the standard ones, and on machines those from here on.
_FIRST, _END = 3, 1000


def named_descriptors(view: View, roots: Mapping[str, Any], known: Iterable[int]) -> set[str]:
    """Returns the roots that hold the number of an open file, but for those that were open before the program."""
    sources = view.modules["__main__"].__dict__.get("In")
    texts = sources if isinstance(sources, list) else []
    if not any(isinstance(text, str) and _GIVES_NUMBERS.search(text) for text in texts):
        return set()
    view.descriptors = open_descriptors() - set(known) - _descriptors_of_loop()
    try:
        encoders = groups.encode_each(view, roots) if view.descriptors else {}
    finally:
        view.descriptors = frozenset()
        view.encodings = None
    return {name for name, encoder in encoders.items() if WHAT in encoder.opaque.values()}


def open_descriptors() -> frozenset[int]:
    """Returns the descriptors that are open, but for the standard ones."""
    return frozenset(filter(_is_open, range(_FIRST, _END)))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
        return True
    except OSError:
        return False


def _descriptors_of_loop() -> set[int]:
    """Returns those of the kernel's event loop."""
    found = set()
    loop = loop_of_kernel()
    for name in ("_selector", "_ssock", "_csock"):
        try:
            found.add(getattr(loop, name).fileno())
        except (AttributeError, OSError, ValueError):
            pass
    return found
