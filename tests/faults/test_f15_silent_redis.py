"""F15: Redis answers nobody for a while: CLIENT PAUSE, and SIGSTOP. Nothing is lost or repeated.

An add that is under way returns when Redis answers again, or raises by its deadline. About 20 s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from docket import Docket
from docket.errors import ServerUnavailable
from docket.storage.scripting.retrying import PATIENCE
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess
from tests.promises import promised

from .conftest import Start
from .ledger import Audit, Ledger, nothing_is_left_behind
from .producing import produce, until_ended
from .workers import until

pytestmark = pytest.mark.fault

PAUSED = 5.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(valkey_9(), tmp_path / "server") as server:
        yield server


@pytest.fixture
def url(server: ServerProcess) -> str:
    return server.url


async def hold(server: ServerProcess, how: str) -> None:
    """Have it answer nobody for a while."""
    if how == "pause":
        server.call("CLIENT", "PAUSE", int(PAUSED * 1000), "ALL")
        await asyncio.sleep(PAUSED)
        return
    server.pause()
    await asyncio.sleep(PAUSED)
    server.resume()


@pytest.mark.parametrize("how", ["pause", "stop"])
async def test_a_server_that_is_silent_for_a_while_loses_and_repeats_nothing(
    docket: Docket, url: str, ledger: Ledger, server: ServerProcess, start: Start, how: str
) -> None:
    workers = [await start(concurrency=5, lease=30.0).until_up() for _ in range(2)]
    keys = await produce(docket, ledger, [0.05] * 60)
    await until(lambda: bool(workers[0].events("start")), "a first run")
    holding = asyncio.create_task(hold(server, how))
    await asyncio.sleep(0.2)

    keys += await produce(docket, ledger, [0.0] * 20)
    await holding
    back = time.monotonic()
    await until_ended(docket, keys)

    assert time.monotonic() - back <= promised(5)
    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    assert audit.extra_starts() == 0
    assert all(worker.is_alive for worker in workers)
    nothing_is_left_behind(url, docket.name)


async def test_an_add_to_a_server_that_stays_silent_raises_by_its_deadline(
    docket: Docket, ledger: Ledger, server: ServerProcess
) -> None:
    server.pause()
    begun = time.monotonic()
    try:
        with pytest.raises(ServerUnavailable):
            await produce(docket, ledger, [0.0])
    finally:
        server.resume()

    # The last try begins before the deadline and has its own timeout.
    assert time.monotonic() - begun <= promised(PATIENCE.total_seconds() + 6)
