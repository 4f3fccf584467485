"""The amount of work, counted every few seconds: a page that is requested must not wait for Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Final

from ...errors import ServerUnavailable
from ...foundation.service import Service
from ...storage.executions import Backlog, Executions

EVERY: Final = 5.0
"""Seconds between two looks."""


class BacklogCount(Service):
    """Periodic count of the work.

    Arguments:
        executions: what Redis holds.
        queues: asked at each look: the queues that pools work on.
        every: seconds between two looks.
    """

    def __init__(
        self, executions: Executions, queues: Callable[[], Collection[str]], every: float = EVERY
    ) -> None:
        self._executions = executions
        self._queues = queues
        self._every = every
        self.last: Backlog | None = None
        """The last backlog seen; None before the first look."""

    silence = 120.0

    async def run(self) -> None:
        """Count until stopped."""
        while True:
            self.turn()
            with contextlib.suppress(ServerUnavailable):
                self.last = await self._executions.backlog(self._queues())
            await asyncio.sleep(self._every)
