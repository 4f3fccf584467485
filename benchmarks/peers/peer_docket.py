"""Docket, and pydocket: the same few lines."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from measure import background

from docket import Docket, Worker


class DocketPeer:
    """A client and a worker.

    Arguments:
        distribution: the name on the package index.
        query: what is added to the server's URL.
        settings: of the worker, where its class's defaults are not what its users get.
    """

    def __init__(self, distribution: str, query: str = "", **settings: Any) -> None:
        self.distribution = distribution
        self.query = query
        self.settings = settings

    async def open(self, url: str, seen: Callable[[Any], None]) -> None:
        async def task(tag: Any) -> None:
            seen(tag)

        self.task = task
        self.docket = Docket(name="bench", url=url + self.query)
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
        async with Worker(self.docket, concurrency=concurrency, **self.settings) as worker:
            async with background(worker.run_forever(), lambda task: task.cancel() and None):
                yield

    async def close(self) -> None:
        await self.docket.__aexit__(None, None, None)


PEER = DocketPeer("docket-platform")
