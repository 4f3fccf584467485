"""dramatiq: threads."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker


class DramatiqPeer:
    distribution = "dramatiq"

    async def open(self, url: str, seen: Callable[[Any], None]) -> None:
        self.broker = RedisBroker(url=url)
        dramatiq.set_broker(self.broker)

        @dramatiq.actor(actor_name="task")
        def task(tag: Any) -> None:
            seen(tag)

        self.task = task

    async def add(self, tag: Any) -> None:
        self.task.send(tag)

    async def add_many(self, tags: Sequence[Any]) -> None:
        for tag in tags:
            self.task.send(tag)

    async def add_later(self, tag: Any, when: datetime) -> None:
        delay = max(0, round((when.timestamp() - time.time()) * 1000))
        self.task.send_with_options(args=(tag,), delay=delay)

    @contextlib.asynccontextmanager
    async def working(self, concurrency: int) -> AsyncIterator[None]:
        worker = dramatiq.Worker(self.broker, worker_threads=concurrency)
        worker.start()
        try:
            yield
        finally:
            await asyncio.to_thread(worker.stop)

    async def close(self) -> None:
        self.broker.close()


PEER = DramatiqPeer()
