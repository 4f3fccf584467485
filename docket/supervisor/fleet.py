"""The fleet of a supervisor: pools, schedules, and their records in Redis."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DocketError
from ..schedules.ticker import Ticker
from ..storage.claims import release
from ..storage.storage import Storage
from .processes.pool import Pool
from .processes.process import WorkerProcess

logger = logging.getLogger("docket.supervisor")


@dataclass
class Fleet:
    """The fleet of a supervisor: pools, schedules, and their records in Redis.

    Arguments:
        path: the configuration file; tasks are imported from its directory.
        storage: the records in Redis.
        ticker: the schedules.
        owner: the owner of these schedules and strikes.
        host: the name of this host.
        pools: the pools, by name.
        on_exit: called with what a process had counted when it is gone.
        on_exhausted: called with the name of a pool that was given up.
        queues: every queue that a pool of this life has worked on: a dead worker may hold work of any.
    """

    path: Path
    storage: Storage
    ticker: Ticker
    owner: str = "docket"
    host: str = field(default_factory=socket.gethostname)
    pools: dict[str, Pool] = field(default_factory=dict[str, Pool])
    on_exit: Callable[[Mapping[str, Any]], None] = lambda _: None
    on_exhausted: Callable[[str], None] = lambda _: None
    queues: set[str] = field(default_factory=set[str])
    removed_tasks: dict[asyncio.Task[None], Pool] = field(
        default_factory=dict[asyncio.Task[None], Pool]
    )
    """Pools that have left the configuration, while they drain."""

    def let_go(self, name: str) -> None:
        """Let a pool drain and end, without waiting for it."""
        pool = self.pools.pop(name)
        stopping = asyncio.create_task(pool.stop(), name=f"docket pool {name} leaves")
        self.removed_tasks[stopping] = pool
        stopping.add_done_callback(self.removed_tasks.pop)

    def hurry(self) -> None:
        """End the draining of every process."""
        for pool in [*self.pools.values(), *self.removed_tasks.values()]:
            pool.hurry()

    async def stop(self, limit: float) -> None:
        """Drain everything, and wait until it is gone.

        Arguments:
            limit: seconds after which nothing drains any longer, even if a pool's own drain time is longer.
        """
        await asyncio.gather(
            self._stop_leaving(limit),
            *(pool.stop(min(limit, pool.desired.orders.drain)) for pool in self.pools.values()),
        )

    async def _stop_leaving(self, limit: float) -> None:
        if removed_tasks := dict(self.removed_tasks):
            _, late = await asyncio.wait(removed_tasks, timeout=limit)
            for stopping in late:
                removed_tasks[stopping].hurry()
            await asyncio.wait(removed_tasks)

    async def bury(self, process: WorkerProcess) -> None:
        """Keep what a process has counted, and have the work that it left taken over at once."""
        self.on_exit(process.status)
        if process.consumer is None:
            return
        try:
            connection, keys = self.storage.connection, self.storage.keys
            death = process.death
            count = await release(connection, keys, process.consumer, sorted(self.queues), death)
        except DocketError as error:
            logger.warning(
                "The work of process %d is taken over when its leases end: %s", process.pid, error
            )
            return
        process.left_suspects = bool(count and death)
        if count:
            logger.warning("%d executions of process %d are taken over", count, process.pid)
