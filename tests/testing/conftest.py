"""A docket of its own per test, whose time can be moved."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from docket import Docket, Worker
from tests.fleet.process import ServerProcess


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://testing") as docket:
        yield docket


@pytest.fixture
async def immovable(server_url: str) -> AsyncIterator[Docket]:
    """A docket on every kind of server; the test says what holds where time cannot be moved."""
    async with Docket(uuid.uuid4().hex, server_url) as docket:
        yield docket
        await docket.storage.erase()


@pytest.fixture
async def shared(own_server: ServerProcess) -> AsyncIterator[Docket]:
    async with Docket("orders", own_server.url) as docket:
        yield docket


@pytest.fixture
async def worker(docket: Docket) -> AsyncIterator[Worker]:
    async with Worker(docket) as worker:
        yield worker
