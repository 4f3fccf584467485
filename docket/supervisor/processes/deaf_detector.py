"""Detect worker processes that are deaf: they have free slots, and claim nothing although work is due."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from ...errors import DocketError
from ...foundation.plain import plain
from ...foundation.service import Service
from ...storage.queues import Queues
from ..conditions import Conditions
from .hang_detector import SILENT
from .pool import Pool
from .process import ProcessState, WorkerProcess

EVERY: Final = 5.0
"""Seconds between two looks."""

DEAF: Final = 30.0
"""Seconds without a claim, beside work that is due as long, after which a process is deaf."""


class DeafDetector(Service):
    """A look at the claims of all processes, every few seconds; deaf ones are replaced.

    Redis is asked only about the queues of a process that has had free slots, and no claim, for long. One
    that reports an outage is not deaf: another one would not reach Redis either.

    Arguments:
        queues: tells how long work has waited.
        pools: the pools, by name.
        conditions: where it is reported.
        after: the seconds after which a process is deaf.
        every: the seconds between two looks.
    """

    silence = 120.0

    def __init__(
        self,
        queues: Queues,
        pools: Mapping[str, Pool],
        conditions: Conditions,
        after: float = DEAF,
        every: float = EVERY,
    ) -> None:
        self._queues = queues
        self._pools = pools
        self._conditions = conditions
        self._after = after
        self._every = every
        # Since when each process with free slots has claimed nothing, and its claims until then.
        self._marks: WeakKeyDictionary[WorkerProcess, tuple[float, int]] = WeakKeyDictionary()

    async def run(self) -> None:
        """Look until stopped."""
        while True:
            self.turn()
            with contextlib.suppress(DocketError):  # the pulse of the supervisor reports it
                await self.look()
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Look once, report the processes that are deaf, and have them replaced.

        Raises:
            ServerUnavailable: Redis did not answer in time.
        """
        found: list[str] = []
        for pool in list(self._pools.values()):
            found += await self._replace(pool)
        self._conditions.tell("Deaf", bool(found), "Replaced" if found else "", "; ".join(found))

    async def _replace(self, pool: Pool) -> list[str]:
        """Have the deaf processes of a pool replaced, and return a line about each."""
        quiet = dict(self._quiet(pool))
        late = await self._late(pool) if quiet else ""
        if not late:
            return []
        lines: list[str] = []
        for process, seconds in quiet.items():
            slots = f"{process.status['free']} free slots"
            reason = f"it has {slots} and has claimed nothing for {seconds:.0f} s, while {late}"
            left = pool.replace_deaf(process, reason)
            soon = f" in {math.ceil(left)} s, as others were before" if left else ""
            lines.append(f"pool {pool.name}, process {process.pid}: {reason}; it is replaced{soon}")
        return lines

    def _quiet(self, pool: Pool) -> Iterator[tuple[WorkerProcess, float]]:
        """Yield the processes that could claim and have not for long, and the seconds."""
        for process in list(pool.processes):
            since = self._quiet_since(process)
            if since is not None and time.monotonic() - since >= self._after:
                yield process, time.monotonic() - since

    def _quiet_since(self, process: WorkerProcess) -> float | None:
        """Return since when a process has had free slots without a claim; None if it has none, or may not."""
        status = process.status
        is_open = process.state is ProcessState.READY and status.get("free")
        # One whose event loop is blocked says nothing, and may compute: that is for the hang detector.
        is_silent = time.monotonic() - process.heard_at > SILENT
        if not is_open or is_silent or status["outage"]:
            self._marks.pop(process, None)
            return None
        since, claims = self._marks.get(process, (0.0, -1))
        if claims != status["claims"]:
            since = time.monotonic()
            self._marks[process] = since, status["claims"]
        return since

    async def _late(self, pool: Pool) -> str:
        """Say which work of a pool waits for too long; empty if none does."""
        waits = await self._queues.waits(pool.desired.orders.queues)
        open_ = {
            name: one.longest.total_seconds()
            for name, one in waits.items()
            if one.longest is not None and not one.is_paused
        }
        queue = max(open_, key=open_.__getitem__, default="")
        if not queue or open_[queue] < self._after:
            return ""
        return f"work of queue {plain(queue)} has been due for {open_[queue]:.0f} s"
