"""The kinds of servers of these suites, and a docket of its own per test."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import pytest

from docket import Docket, Worker
from tests.fleet.binaries import redis_8
from tests.fleet.kinds import MEMORY, Fleet
from tests.fleet.process import ServerProcess

LEAST: Final = "least-privilege"
KINDS: Final = (MEMORY, "cluster", LEAST)
"""In memory, with all keys in one slot, with no more rights than needed; conformance has all kinds."""
RIGHTS: Final = Path(__file__).parents[2] / "config" / "acl" / "docket.acl"
OF_THE_TESTS: Final = "+expire +ttl +script|load +client|list +flushdb"
"""Commands that the tests send by themselves."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "url" in metafunc.fixturenames:
        named = str(metafunc.config.getoption("--fleet"))
        kinds = [
            pytest.param(kind, marks=() if kind == MEMORY else pytest.mark.fleet)
            for kind in KINDS
            if named == "all" or kind in named.split(",")
        ]
        metafunc.parametrize("url", kinds, indirect=True, ids=str, scope="session")


@pytest.fixture(scope="session")
def least_privileged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The url of a user who may do what the shipped rules allow, and nothing else."""
    with ServerProcess(
        redis_8(), tmp_path_factory.mktemp("acl"), password="of the operator"
    ) as server:
        _, _, *rules = RIGHTS.read_text().split()
        allowed = " ".join(rules).replace("orders", "compat-*").replace(">change-me", ">s3cret")
        server.call("ACL", "SETUSER", "app", *allowed.split(), *OF_THE_TESTS.split())
        yield f"redis://app:s3cret@127.0.0.1:{server.port}/0"


@pytest.fixture(scope="session")
def url(request: pytest.FixtureRequest, fleet: Fleet) -> str:
    """Where a server is; a test that takes it runs on every kind."""
    if request.param == LEAST:
        return request.getfixturevalue("least_privileged")
    return fleet.url(request.param)


@pytest.fixture
def name() -> str:
    """The name of a docket that nobody else uses."""
    return f"compat-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def docket(url: str, name: str) -> AsyncIterator[Docket]:
    async with Docket(name, url) as docket:
        yield docket


@pytest.fixture
async def here(name: str) -> AsyncIterator[Docket]:
    """A docket in memory, for what does not depend on the server."""
    async with Docket(name, "memory://compat") as docket:
        yield docket


@pytest.fixture
async def worker(docket: Docket) -> AsyncIterator[Worker]:
    """A worker with a short lease, not running yet."""
    async with Worker(docket, redelivery_timeout=timedelta(seconds=2)) as worker:
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


def soon(seconds: float = 60) -> datetime:
    """So many seconds from now."""
    return datetime.now(timezone.utc) + timedelta(seconds=seconds)
