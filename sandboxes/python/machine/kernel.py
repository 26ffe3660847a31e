"""Starts the kernel of a machine: `python3 kernel.py`, with the socket to the host as descriptor 3.

The package `_switchtower` is in the folder of this file. A program neither sees that folder in its path nor this module
as its `__main__`.
"""

import signal
import sys

# From here on an interrupt ends a cell or a program, never the kernel.
signal.signal(signal.SIGINT, lambda *_: None)


def main() -> None:
    """Runs what the host sends until it closes the socket."""
    import os

    folder = os.path.dirname(os.path.realpath(__file__))
    if sys.path and os.path.realpath(sys.path[0]) == folder:
        del sys.path[0]
    package = type(sys)("_switchtower")
    package.__path__ = [os.path.join(folder, "_switchtower")]  # type: ignore[attr-defined]
    sys.modules["_switchtower"] = package
    # Bytecode of these files that was made ahead is used; none is written.
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        from _switchtower import entry
    finally:
        sys.dont_write_bytecode = writes
    entry.serve()


main()
