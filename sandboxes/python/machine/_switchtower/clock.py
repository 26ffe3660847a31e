"""The event loop of a kernel. Time is the machine's own here."""

from __future__ import annotations

import os
from typing import Any

from .own_imports import import_own


class Loop:
    """An event loop that is made when it is first needed: half of a kernel's start would be its modules."""

    def __init__(self) -> None:
        self._loop: Any = None
        # Loops whose descriptors a cell closed: at their end they would close others' of the same numbers.
        self._abandoned: list[Any] = []

    def create_task(self, work: Any, **options: Any) -> Any:
        asyncio = import_own("asyncio")
        if self._loop is not None and self._is_broken():
            self._abandoned.append(self._loop)
            self._loop = None
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._loop.is_of_kernel = True  # for the transfer of a session
            asyncio.set_event_loop(self._loop)
        if not hasattr(self._loop, "_task_takes_context"):
            # Before Python 3.11 a task takes no context.
            code = type(self._loop).create_task.__code__
            self._loop._task_takes_context = "context" in code.co_varnames or "kwargs" in code.co_varnames
        if not self._loop._task_takes_context and "context" in options:
            context = options.pop("context")
            return context.run(self._loop.create_task, work, **options)
        return self._loop.create_task(work, **options)

    def run_until_complete(self, task: Any) -> Any:
        try:
            return self._loop.run_until_complete(task)
        except OSError:
            # A cell that closed the descriptors of its loop, and that has ended, did what it was to do.
            if not task.done() or not self._is_broken():
                raise
            return task.result()

    def _is_broken(self) -> bool:
        try:
            os.fstat(self._loop._ssock.fileno())
        except (OSError, AttributeError):
            return True
        return False

    def close(self) -> None:
        if self._loop is not None:
            import_own("asyncio").set_event_loop(None)
            self._loop.close()
