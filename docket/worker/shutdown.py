"""The shutdown of a running worker: it is asked to stop, and others wait until it has."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from .runs.recording import RecordingTask

FAREWELL = 0.4
"""Seconds that a worker whose drain is over gives what does not end, and again to say goodbye."""

LAST_WORDS = 1.0
"""Seconds that the server gets to take back what ran when the event loop was ended."""


class Shutdown:
    """The end of one stay of a worker: asked for here, and waited for.

    It holds a task that only the end of the event loop cancels: where it was cancelled, all tasks were.
    """

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._over = asyncio.Event()
        self._working: asyncio.Task[Any] | None = None
        self._sentinel: RecordingTask | None = None
        self.is_urgent = False
        """True if what runs must not be waited for."""

    @contextmanager
    def awaited(self) -> Generator[asyncio.Task[None], None, None]:
        """Yield, for as long as the worker works, a task that ends when the worker is asked to stop."""
        self._working = asyncio.current_task()
        self._sentinel = RecordingTask(self._until_asked(), name="docket shutdown")
        try:
            yield self._sentinel
        finally:
            self._asked.set()
            self._over.set()

    @property
    def is_ending(self) -> bool:
        """True if all tasks of the event loop were cancelled, as at the end of ``asyncio.run``."""
        return self._sentinel is not None and self._sentinel.is_cancelled_by_others

    async def ask(self, at_once: bool) -> None:
        """Ask the worker to stop, and wait until it has.

        A caller that is cancelled meanwhile waits no longer, and neither does the worker: it hands back what
        runs.

        Arguments:
            at_once: let it hand back what runs, instead of finishing it.
        """
        if self._working is None:
            return
        self.is_urgent = at_once
        self._asked.set()
        try:
            await self._over.wait()
        except asyncio.CancelledError:
            await self._hurry()
            raise

    async def _hurry(self) -> None:
        assert self._working is not None
        self._working.cancel()
        with contextlib.suppress(asyncio.TimeoutError):
            # It gives its runs a while, then its outcomes, and then itself.
            await asyncio.wait_for(self._over.wait(), 4 * FAREWELL)

    async def _until_asked(self) -> None:
        assert self._sentinel is not None
        self._sentinel.begin()
        await self._asked.wait()
