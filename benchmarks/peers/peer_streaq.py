"""streaq."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from measure import background
from streaq import Worker


class StreaqPeer:
    distribution = "streaq"

    async def open(self, url: str, seen: Callable[[Any], None]) -> None:
        self.url, self.seen = url, seen
        self._make(10)
        await self.worker.__aenter__()

    def _make(self, concurrency: int) -> None:
        seen = self.seen
        self.worker = Worker(redis_url=self.url, concurrency=concurrency, handle_signals=False)

        @self.worker.task
        async def task(tag: Any) -> None:
            seen(tag)

        self.task = task

    async def add(self, tag: Any) -> None:
        await self.task.enqueue(tag)

    async def add_many(self, tags: Sequence[Any]) -> None:
        for at in range(0, len(tags), 500):
            await self.worker.enqueue_many([self.task.enqueue(tag) for tag in tags[at : at + 500]])

    async def add_later(self, tag: Any, when: datetime) -> None:
        await self.task.enqueue(tag).start(schedule=when)

    @contextlib.asynccontextmanager
    async def working(self, concurrency: int) -> AsyncIterator[None]:
        await self.worker.__aexit__(None, None, None)
        self._make(concurrency)
        async with background(self.worker.run_async(), lambda task: task.cancel() and None):
            yield

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self.worker.__aexit__(None, None, None)


PEER = StreaqPeer()
