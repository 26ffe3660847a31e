"""Fills the holes that making the snapshot left in the heap.

A program's first allocations would otherwise be scattered over them, and every page that an instance writes to costs a
page fault and a copy. With the holes plugged, they come from fresh memory, side by side.
"""

import builtins
import sys

_plugs = []

# The block sizes of CPython's small-object allocator, and sizes of the C library's.
_SIZES = [*range(32, 513, 16), *range(576, 4097, 64), 8192, 16384, 32768, 65536]
# Never more than this: a snapshot with larger holes is made too carelessly.
_MOST = 48 << 20


def plug(id=builtins.id):
    top = id(bytes(4 << 20))
    header = sys.getsizeof(b"")
    filled = 0
    for size in reversed(_SIZES):
        while filled < _MOST:
            block = bytes(size - header)
            if id(block) > top:
                break
            filled += size
            _plugs.append(block)
    return filled
