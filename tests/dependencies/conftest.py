"""The kinds of servers that compatibility is shown on, and a docket of its own per test."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from docket import Docket
from tests.compat.conftest import (
    docket,
    least_privileged,
    name,
    pytest_generate_tests,
    until,
    url,
    worker,
    working,
)

__all__ = [
    "docket",
    "least_privileged",
    "name",
    "pytest_generate_tests",
    "until",
    "url",
    "worker",
    "working",
]


class Meter:
    """Counts how many runs there are at a time, per lane, and in which order they began."""

    def __init__(self) -> None:
        self.running: Counter[object] = Counter()
        self.peak: Counter[object] = Counter()
        self.order: list[object] = []

    async def run(self, lane: object = None, what: object = None, seconds: float = 0.002) -> None:
        """One run that holds its slot for some seconds."""
        self.running[lane] += 1
        self.peak[lane] = max(self.peak[lane], self.running[lane])
        self.order.append(what)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.running[lane] -= 1


@pytest.fixture
def meter() -> Meter:
    return Meter()


async def keys_of(docket: Docket) -> set[str]:
    """The keys that a docket has on its server, but for those that say who works."""
    async with _operator_of(docket) as client:
        found = {key.decode() async for key in client.scan_iter(f"{docket.prefix}:*", count=1000)}
    kinds = {key.removeprefix(f"{docket.prefix}:") for key in found}
    passing = (
        *(
            "workers",
            "limits",
            "worker-tasks:",
            "worker-shapes:",
            "task-workers:",
            "leases",
            "lost",
            "suspects",
            "bell",
            "fence",
        ),
        *("stream", "queues"),
    )
    return {kind for kind in kinds if not kind.startswith(passing)}


@asynccontextmanager
async def _operator_of(docket: Docket) -> AsyncGenerator[Any, None]:
    """Whoever may look at all keys: the least privileged user may not."""
    if "app:" not in docket.url:
        async with docket.redis() as client:
            yield client
        return
    port = urlsplit(docket.url).port
    async with Redis(host="127.0.0.1", port=port or 0, password="of the operator") as client:
        yield client


@pytest.fixture
async def second(url: str, docket: Docket) -> AsyncIterator[Docket]:
    """The same docket, as another process sees it."""
    async with Docket(docket.name, url) as other:
        yield other
