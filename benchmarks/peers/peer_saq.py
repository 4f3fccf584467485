"""saq."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from measure import background, gathered
from saq import Queue, Worker


class SaqPeer:
    distribution = "saq"

    async def open(self, url: str, seen: Callable[[Any], None]) -> None:
        async def task(_: dict[Any, Any], *, tag: Any) -> None:
            seen(tag)

        self.task = task
        self.queue = Queue.from_url(url)
        await self.queue.connect()

    async def add(self, tag: Any) -> None:
        await self.queue.enqueue("task", tag=tag)

    async def add_many(self, tags: Sequence[Any]) -> None:
        await gathered(self.add, tags)

    async def add_later(self, tag: Any, when: datetime) -> None:
        await self.queue.enqueue("task", tag=tag, scheduled=when.timestamp())

    @contextlib.asynccontextmanager
    async def working(self, concurrency: int) -> AsyncIterator[None]:
        worker = Worker(self.queue, [("task", self.task)], concurrency=concurrency)
        async with background(worker.start(), lambda _: worker.stop()):
            yield

    async def close(self) -> None:
        await self.queue.disconnect()


PEER = SaqPeer()
