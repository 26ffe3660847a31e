"""The process's descriptors: those of the kernel itself, and the standard ones, which a program may close."""

from __future__ import annotations

import fcntl
import os
import resource

# Above what programs close by a loop, and below the usual limit.
_FIRST = 1000
_OUTPUTS = (1, 2)


def take(number: int) -> int:
    """Moves a descriptor to where programs do not meet it and other programs do not inherit it. Returns its new number."""
    moved = _copy(number)
    os.close(number)
    return moved


def _copy(number: int) -> int:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    for first in (min(_FIRST, limit - 8), 4):
        try:
            return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, first)
        except OSError:
            pass
    raise OSError(f"descriptor {number} cannot be moved")


class Standard:
    """Standard input, output and errors."""

    def __init__(self) -> None:
        self._kept = {number: _copy(number) for number in _OUTPUTS}
        self._has_input = True
        self.give_input(None)

    def restore(self) -> None:
        """Opens again what was closed."""
        for number, kept in self._kept.items():
            try:
                os.fstat(number)
            except OSError:
                try:
                    os.dup2(kept, number)
                except OSError:
                    pass  # all were closed

    def give_input(self, text: str | None) -> bool:
        """Makes a text the standard input. Returns whether what was read ahead of the input before has lost its meaning."""
        had, self._has_input = self._has_input, text is not None
        if text is None:
            source = os.open(os.devnull, os.O_RDONLY)
        else:
            source = os.memfd_create("stdin")
            with os.fdopen(os.dup(source), "wb") as file:
                file.write(text.encode("utf-8", "surrogatepass"))
            os.lseek(source, 0, os.SEEK_SET)
        if source != 0:
            os.dup2(source, 0)
            os.close(source)
        return had or self._has_input
