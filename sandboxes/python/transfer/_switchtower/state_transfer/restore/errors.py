"""Why a state cannot be restored."""

from __future__ import annotations


class TimeUp(BaseException):
    """The cells took longer than the host gives them."""


class NotTransferable(Exception):
    """A state that can be neither replayed nor transferred: the reason, with the cell and the name."""

    def __init__(self, reason: str, cell: int | None = None, name: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.cell, self.name = reason, cell, name
