"""arq: a sorted set that is polled twice a second."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from arq import Worker, create_pool, func
from arq.connections import RedisSettings
from measure import background, gathered


class ArqPeer:
    distribution = "arq"

    async def open(self, url: str, seen: Callable[[Any], None]) -> None:
        async def task(_: dict[Any, Any], tag: Any) -> None:
            seen(tag)

        self.task = task
        self.pool = await create_pool(RedisSettings.from_dsn(url))

    async def add(self, tag: Any) -> None:
        await self.pool.enqueue_job("task", tag)

    async def add_many(self, tags: Sequence[Any]) -> None:
        await gathered(self.add, tags)

    async def add_later(self, tag: Any, when: datetime) -> None:
        await self.pool.enqueue_job("task", tag, _defer_until=when)

    @contextlib.asynccontextmanager
    async def working(self, concurrency: int) -> AsyncIterator[None]:
        worker = Worker(
            [func(self.task, name="task")],
            redis_pool=self.pool,
            max_jobs=concurrency,
            handle_signals=False,
        )
        async with background(worker.async_run(), lambda task: task.cancel() and None):
            yield

    async def close(self) -> None:
        await self.pool.aclose()


PEER = ArqPeer()
