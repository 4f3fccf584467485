"""The process of a pool that runs suspects: what was in flight in a process that died."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ...foundation.deaths import describe_exit
from ...foundation.service import end
from ...storage.scripting.retrying import Backoff
from .process import WorkerProcess

if TYPE_CHECKING:
    from .pool import Desired

logger = logging.getLogger("docket.supervisor")

IDLE = 60.0
"""Seconds without work after which the process ends."""

LOOK_EVERY = 0.25
"""Seconds between two looks at the process."""

KILL_AFTER = 1.0
"""Seconds that it gets to exit when its drain is over."""


class Quarantine:
    """A process for suspects, started when there are some, and again when they have killed it.

    Only what is suspect dies with it, so all else in the pool goes on. How often it dies says nothing about
    the pool's configuration, and never makes the pool degraded.

    Arguments:
        pool: the name of the pool.
        desired: what the pool shall be at the moment.
        bury: called with each process that is gone.
    """

    def __init__(
        self,
        pool: str,
        desired: Callable[[], Desired],
        bury: Callable[[WorkerProcess], Awaitable[None]],
    ) -> None:
        self._pool = pool
        self._desired = desired
        self._bury = bury
        self._stopping = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self.process: WorkerProcess | None = None

    def ask_for(self) -> None:
        """There are suspects: have a process that runs them."""
        if not self._stopping.is_set() and (self._keeping is None or self._keeping.done()):
            self._keeping = asyncio.create_task(
                self._keep(), name=f"docket quarantine {self._pool}"
            )

    def hurry(self) -> None:
        """Drain no longer: end the process now."""
        if self.process is not None:
            self.process.hurry()

    async def stop(self, seconds: float) -> None:
        """Drain the process, and wait until it is gone.

        Arguments:
            seconds: how long it may go on.
        """
        self._stopping.set()
        if self._keeping is None:
            return
        if self.process is None:
            await end(self._keeping)
            return
        await self._drain(self.process, seconds)
        # What it has left is released before anyone thinks that all is over.
        await asyncio.wait({self._keeping})

    async def _keep(self) -> None:
        """Keep a process until there has been nothing for it to do for a while."""
        backoff = Backoff(0.1, 5.0)
        while not self._stopping.is_set():
            desired = self._desired()
            try:
                self.process = await self._start(desired)
            except Exception as error:
                logger.error("Pool %s: no process for suspects: %s", self._pool, error)
                await asyncio.sleep(backoff.next_pause())
                continue
            if await self._is_done(self.process, desired):
                await self._drain(self.process, desired.orders.drain)
            is_over = self.process.was_told_to_go and self._desired() is desired
            await self._bury(self.process)
            self.process = None
            if is_over:
                return

    async def _start(self, desired: Desired) -> WorkerProcess:
        process = WorkerProcess(self._pool, desired.place, desired.environment, keeps_words=True)
        await process.spawn()
        try:
            orders = dataclasses.replace(desired.orders, suspects_wait=None)
            await process.configure(desired.revision, orders)
        except BaseException:
            await process.kill()
            raise
        logger.info("Pool %s: process %d runs what may have killed others", self._pool, process.pid)
        return process

    async def _is_done(self, process: WorkerProcess, desired: Desired) -> bool:
        """Wait until the process has died (False), or has nothing to do, or is to be something else."""
        exited = asyncio.create_task(process.until_exited())
        runs, busy_at = 0, time.monotonic()
        while not exited.done() and self._desired() is desired:
            if process.status.get("in_flight") or process.runs != runs:
                runs, busy_at = process.runs, time.monotonic()
            if time.monotonic() - busy_at > IDLE:
                break
            await asyncio.wait({exited}, timeout=LOOK_EVERY)
        if not exited.done():
            exited.cancel()
            return True
        if not process.was_told_to_go:
            logger.error(
                "Pool %s: process %d, which ran suspects, ended with %s",
                self._pool,
                process.pid,
                describe_exit(process.exit_code),
            )
        return False

    async def _drain(self, process: WorkerProcess, seconds: float) -> None:
        await process.drain(seconds, KILL_AFTER)
