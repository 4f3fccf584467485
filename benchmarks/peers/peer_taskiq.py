"""taskiq on Redis streams: no state, no results."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from measure import gathered
from taskiq.receiver import Receiver
from taskiq_redis import RedisStreamBroker


class TaskiqPeer:
    distribution = "taskiq"

    async def open(self, url: str, seen: Callable[[Any], None]) -> None:
        self.broker = RedisStreamBroker(url)

        @self.broker.task(task_name="task")
        async def task(tag: Any) -> None:
            seen(tag)

        self.task = task
        self.broker.is_worker_process = True
        await self.broker.startup()

    async def add(self, tag: Any) -> None:
        await self.task.kiq(tag)

    async def add_many(self, tags: Sequence[Any]) -> None:
        await gathered(self.add, tags)

    async def add_later(self, tag: Any, when: datetime) -> None:
        raise NotImplementedError("needs a scheduler process of its own")

    @contextlib.asynccontextmanager
    async def working(self, concurrency: int) -> AsyncIterator[None]:
        receiver = Receiver(self.broker, max_async_tasks=concurrency, run_startup=False)
        finish = asyncio.Event()
        listening = asyncio.create_task(receiver.listen(finish))
        try:
            yield
        finally:
            finish.set()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await asyncio.wait_for(listening, 10)

    async def close(self) -> None:
        await self.broker.shutdown()


PEER = TaskiqPeer()
