"""The event loop of a kernel. Time is the machine's own here."""

from __future__ import annotations

import asyncio
from typing import Any


class Loop:
    """An event loop that is made when it is first needed: made before a fork, all children would share its descriptors."""

    def __init__(self) -> None:
        self._loop: Any = None

    def create_task(self, work: Any, **options: Any) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.is_of_kernel = True  # for the transfer of a session
            asyncio.set_event_loop(self._loop)
        return self._loop.create_task(work, **options)

    def run_until_complete(self, task: Any) -> Any:
        return self._loop.run_until_complete(task)

    def close(self) -> None:
        if self._loop is not None:
            asyncio.set_event_loop(None)
            self._loop.close()
