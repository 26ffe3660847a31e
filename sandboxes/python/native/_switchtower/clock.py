"""The event loop of a kernel. Time is the machine's own here."""

import asyncio


class Loop:
    """Makes the real one when it is first needed: made ahead of a fork, its descriptors would be everybody's."""

    def __init__(self):
        self._loop = None

    def create_task(self, work, **options):
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop.create_task(work, **options)

    def run_until_complete(self, task):
        return self._loop.run_until_complete(task)

    def close(self):
        if self._loop is not None:
            asyncio.set_event_loop(None)
            self._loop.close()
