"""The wait for a ring, which says that there is work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ...errors import ServerUnavailable
from ...foundation.service import Service
from ...instrumentation.tracing import suppressed
from ...storage.bell import Bell
from ...storage.scripting.retrying import Backoff


class Doorbell(Service):
    """The wait at the bell, which calls ``answer`` on each ring while there is a free slot.

    A worker without a free slot does not stand at the bell, so that the token wakes one that has.

    Arguments:
        bell: where it rings.
        answer: called on each ring.
        is_shown: whether waiting at the bell shows in traces.
    """

    def __init__(self, bell: Bell, answer: Callable[[], None], *, is_shown: bool = False) -> None:
        self._bell = bell
        self._is_shown = is_shown
        self._answer = answer
        self._idle = asyncio.Event()

    def stand_by(self, idle: bool) -> None:
        """Say whether there is a free slot and nothing known to fill it with."""
        if idle:
            self._idle.set()
        else:
            self._idle.clear()

    async def run(self) -> None:
        """Listen until stopped."""
        with suppressed(unless=self._is_shown):
            await self._listen()

    async def _listen(self) -> None:
        backoff = Backoff(0.05, 2.0)
        while True:
            try:
                async with self._bell.line() as line:
                    while True:
                        await self._idle.wait()
                        if await line.rung():
                            self._answer()
                        backoff.reset()
            except ServerUnavailable:
                # The fallback look keeps the worker going without a bell.
                await asyncio.sleep(backoff.next_pause())
