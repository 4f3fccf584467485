"""What the conformance suites share: a docket of its own per test, on every kind of server."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from docket import Docket, Worker

LEASE = timedelta(seconds=2)


@pytest.fixture
def name() -> str:
    """The name of a docket that nobody else uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def docket(server_url: str, name: str) -> AsyncIterator[Docket]:
    async with Docket(name, server_url) as docket:
        yield docket


@pytest.fixture
async def worker(docket: Docket) -> AsyncIterator[Worker]:
    """A worker with a short lease, not running yet."""
    async with Worker(docket, redelivery_timeout=LEASE) as worker:
        yield worker


@asynccontextmanager
async def working(worker: Worker) -> AsyncGenerator[Worker, None]:
    """Have a worker run for the length of a block, then drain."""
    running = asyncio.create_task(worker.run_forever())
    await worker.until_started()
    try:
        yield worker
    finally:
        running.cancel()
        await running


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Wait for something that nobody signals: the state of a server."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
