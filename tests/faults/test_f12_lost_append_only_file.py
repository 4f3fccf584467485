"""F12: the end of the append-only file is lost, as a machine without power loses what was not synced.

Redis goes back by a moment, workers do not. What it still knows ends, once as far as it knows; what it has
forgotten is absent, and a run of it is refused; fences go on above all that were ever handed out. About 10 s.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from docket import Docket, ExecutionState
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess

from .conftest import Start
from .ledger import Audit, Ledger, nothing_is_left_behind
from .producing import produce, until_ended
from .workers import until

pytestmark = pytest.mark.fault

LOST = 30_000
"""Bytes: the steps of some dozens of runs, in the middle of one command."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(valkey_9(), tmp_path / "server", "--appendonly", "yes") as server:
        yield server


@pytest.fixture
def url(server: ServerProcess) -> str:
    return server.url


def lose_the_end(server: ServerProcess) -> None:
    """Kill it, and cut off the end of what it has written down."""
    server.kill()
    (file,) = (server.directory / "appendonlydir").glob("*.incr.aof")
    assert file.stat().st_size > 2 * LOST, "there is too little to lose"
    os.truncate(file, file.stat().st_size - LOST)
    server.start()


async def test_a_server_that_has_lost_its_last_moment_is_worked_on_and_tells_no_falsehood(
    docket: Docket, url: str, ledger: Ledger, server: ServerProcess, start: Start
) -> None:
    workers = [await start(concurrency=10, lease=2.0).until_up() for _ in range(2)]
    keys = await produce(docket, ledger, [0.05] * 300)
    await until(lambda: len(_ends(ledger)) > 150, "half of the work")
    await asyncio.to_thread(lose_the_end, server)
    before = max(event.fence for event in ledger.read() if event.event == "verdict")

    later = await produce(docket, ledger, [0.0] * 20)
    known = [record.key for record in await docket.storage.executions.read(*keys) if record]
    await until_ended(docket, [*known, *later])

    audit = await Audit.of(docket, ledger)
    for key in (*known, *later):
        record = audit.records[key]
        assert record is not None
        assert record.state is ExecutionState.COMPLETED
        # The outcome that stands is that of the run that was believed last.
        assert audit.results[key] == record.fence
    starts = [(event.key, event.fence) for event in audit.of_kind("start")]
    assert len(starts) == len(set(starts)), "two runs had one fence"
    assert min(fence for key, fence in starts if key in later) > before
    assert all(worker.is_alive for worker in workers)
    nothing_is_left_behind(url, docket.name)


def _ends(ledger: Ledger) -> list[str]:
    return [event.key for event in ledger.read() if event.event == "verdict"]
