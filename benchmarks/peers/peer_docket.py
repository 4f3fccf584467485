"""Docket, and pydocket: the same few lines."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from measure import background

from docket import Docket, Worker


class DocketPeer:
    def __init__(self, distribution: str) -> None:
        self.distribution = distribution

    async def open(self, url: str, seen: Callable[[Any], None]) -> None:
        async def task(tag: Any) -> None:
            seen(tag)

        self.task = task
        self.docket = Docket(name="bench", url=url)
        await self.docket.__aenter__()
        self.docket.register(task)

    async def add(self, tag: Any) -> None:
        await self.docket.add(self.task)(tag)

    async def add_many(self, tags: Sequence[Any]) -> None:
        await self.docket.add_many([self.docket.call(self.task)(tag) for tag in tags])

    async def add_later(self, tag: Any, when: datetime) -> None:
        await self.docket.add(self.task, when=when)(tag)

    @contextlib.asynccontextmanager
    async def working(self, concurrency: int) -> AsyncIterator[None]:
        async with Worker(self.docket, concurrency=concurrency) as worker:
            async with background(worker.run_forever(), lambda task: task.cancel() and None):
                yield

    async def close(self) -> None:
        await self.docket.__aexit__(None, None, None)


PEER = DocketPeer("docket-platform")
