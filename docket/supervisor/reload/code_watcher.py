"""Watching of the code that processes have imported: new processes take over when it has changed.

As with the configuration, events are only hints: what counts is that files hold something else than what
was imported from them, and have come to rest.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from pathlib import Path
from typing import Final

from ...foundation.service import Service, end
from .code_state import CodeState, Reading
from .file_watcher import Hints, Rhythm
from .reloader import ReloadOutcome

logger = logging.getLogger("docket.supervisor")

SHORTEST: Final = 0.05
"""Seconds between two looks at the least."""


class CodeWatcher(Service):
    """A watcher that replaces the processes of pools whose code has changed.

    What cannot be run is not tried again before it changes once more.

    Arguments:
        file: the configuration, beside which the code is.
        code: what processes have imported.
        rhythm: asked before each look, because a reload may change it.
        follows: asked before each look: whether processes are to be replaced.
        is_busy: asked before each restart: whether a reload comes first.
        restart: replaces the processes of these pools.
    """

    def __init__(
        self,
        file: Path,
        code: CodeState,
        rhythm: Callable[[], Rhythm],
        follows: Callable[[], bool],
        is_busy: Callable[[], bool],
        restart: Callable[[Collection[str]], Awaitable[ReloadOutcome]],
    ) -> None:
        self._file = file
        self._code = code
        self._rhythm = rhythm
        self._follows = follows
        self._is_busy = is_busy
        self._restart = restart
        self._hints = Hints(self._watched, self._hinted_rhythm)
        self._tried: object = None
        """The code that was on the disk at the last attempt; None if no process is behind."""

    async def run(self) -> None:
        """Watch until stopped."""
        hinting = asyncio.create_task(self._hints.collect())
        try:
            while True:
                await self._hints.until_one()
                while (found := await self._at_rest()) is not None:
                    await self._attempt(found)
                    await asyncio.sleep(self._rhythm().min_interval.total_seconds())
        finally:
            await end(hinting)

    async def _at_rest(self) -> Reading | None:
        """Return new code that is to be run, once it has come to rest; None if there is none."""
        before = None
        while self._is_news(found := await self._read()):
            if found == before and _is_past(found) and not self._is_busy():
                return found
            before = found
            await self._settle()
        await self._settle()
        return None

    async def _settle(self) -> None:
        await asyncio.sleep(max(SHORTEST, self._rhythm().settle.total_seconds()))

    async def _read(self) -> Reading:
        self._code.follows = self._is_following()
        found = await asyncio.to_thread(self._code.read)
        if not found.behind.pids:
            self._tried = None
        return found

    def _is_news(self, found: Reading) -> bool:
        is_behind = bool(found.behind.pids) and self._is_following()
        return is_behind and self._tried != (found.content, found.neighbours)

    def _is_following(self) -> bool:
        return self._follows() and self._rhythm().watch != "off"

    async def _attempt(self, found: Reading) -> None:
        logger.info("Code has changed: %s", ", ".join(found.behind.files))
        outcome = await self._restart(found.behind.pools)
        # A fault that is not the code's is no answer: it is tried again.
        if outcome.result != "failed":
            self._tried = found.content, found.neighbours
        await self._read()

    def _watched(self) -> Iterable[Path]:
        """Yield a path in every directory of the code: what is written there is a hint."""
        return [self._file, *(place / "__init__.py" for place in self._code.directories())]

    def _hinted_rhythm(self) -> Rhythm:
        """Return the rhythm of hints: without one to act upon, a look now and then is enough."""
        rhythm = self._rhythm()
        return rhythm if self._is_following() else rhythm.without_hints()


def _is_past(found: Reading) -> bool:
    """Return True if all was written in a second that is over.

    Python tells its compiled files from newer code by the second and the size: one that was made of what is
    still being written would be taken for what is written next.
    """
    now = time.time()
    return all(int(now) != written // 1_000_000_000 for _, written, _ in found.stats)
