"""Fills the free blocks that making the snapshot left in the heap.

A program's first allocations would otherwise be scattered over them, and every page that an instance writes to costs a
page fault and a copy. With these filled, they come from fresh memory, side by side.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any

_blocks: list[bytes] = []

# The block sizes of CPython's small-object allocator, and sizes of the C library's.
_SIZES = [*range(32, 513, 16), *range(576, 4097, 64), 8192, 16384, 32768, 65536]
# Bytes that are filled at most.
_MAX_BYTES = 48 << 20


def fill_free_blocks(id: Any = builtins.id) -> Any:
    top = id(bytes(4 << 20))
    header = sys.getsizeof(b"")
    filled = 0
    for size in reversed(_SIZES):
        while filled < _MAX_BYTES:
            block = bytes(size - header)
            if id(block) > top:
                break
            filled += size
            _blocks.append(block)
    return filled
