"""F39: connections and files run out for a while; who needs one waits, is told, and goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from docket import Docket, Worker
from docket.errors import DocketError
from tests.conformance.conftest import working
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess

pytestmark = pytest.mark.fault

SECONDS = 3.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(valkey_9(), tmp_path / "server") as server:
        yield server


async def work(number: int) -> int:
    return number


async def test_a_server_without_connections_to_spare_is_waited_for(
    server: ServerProcess, name: str
) -> None:
    async with Docket(name, server.url) as docket, Worker(docket) as worker:
        docket.register(work)
        async with working(worker):
            first = await docket.add(work)(1)
            assert await first.get_result() == 1

            # Nobody new is let in, and all who are in are thrown out.
            with server.client() as client:
                client.config_set("maxclients", 1)
                for kind in ("normal", "pubsub"):
                    client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
                added = asyncio.create_task(_until_added(docket, 2))
                await asyncio.sleep(SECONDS)
                client.config_set("maxclients", 1000)

            key = await asyncio.wait_for(added, 60)
            second = await docket.get_execution(key)
            assert second is not None
            assert await asyncio.wait_for(second.get_result(), 60) == 2


async def test_many_callers_share_few_connections(server: ServerProcess, name: str) -> None:
    async with Docket(name, server.url) as docket, Worker(docket) as worker:
        docket.register(work)
        before = _connections(server)
        added = await asyncio.gather(*(docket.add(work)(number) for number in range(500)))
        assert _connections(server) - before <= 100

        await worker.run_until_finished()
        results = await asyncio.gather(*(execution.get_result() for execution in added))
        assert results == list(range(500))


async def _until_added(docket: Docket, number: int) -> str:
    """Add it, calling again with the same key as long as the server is said to be away."""
    while True:
        try:
            return (await docket.add(work, key="again")(number)).key
        except DocketError:
            await asyncio.sleep(0.1)


def _connections(server: ServerProcess) -> int:
    with server.client() as client:
        return int(client.info("clients")["connected_clients"])
