"""F11: the server is killed and started again under load, with an append-only file synced at each write.

Five times here, at random moments, with two workers at work and a producer that never stops. What was
acknowledged is there and ends once; no worker exits; each is back within 2 s of the server. Leases are too
long to end meanwhile, so that nothing at all may be started twice. About 15 s.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from docket import Docket, Worker
from docket.instrumentation.events import Observer
from docket.storage.claims import _CLAIM, Consumer, Hold, renew
from tests.conformance.conftest import working
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess
from tests.promises import promised

from .conftest import Start
from .ledger import Audit, Ledger, nothing_is_left_behind
from .producing import produce, until_ended
from .workers import until

pytestmark = pytest.mark.fault

TIMES = 5
BACK = 2.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    with ServerProcess(valkey_9(), tmp_path / "server", *durable) as server:
        yield server


@pytest.fixture
def url(server: ServerProcess) -> str:
    return server.url


async def test_a_server_that_is_killed_under_load_loses_nothing_and_is_used_again_within_two_seconds(
    docket: Docket, url: str, ledger: Ledger, server: ServerProcess, start: Start
) -> None:
    dice = random.Random(11)
    workers = [start(concurrency=10, lease=30.0) for _ in range(2)]
    keys: list[str] = []
    enough = asyncio.Event()

    async def keep_adding() -> None:
        while not enough.is_set():
            keys.extend(await produce(docket, ledger, [dice.uniform(0.0, 0.1) for _ in range(3)]))
            await asyncio.sleep(0.02)

    adding = asyncio.create_task(keep_adding())
    for worker in workers:
        await worker.until_up()
    for _ in range(TIMES):
        await asyncio.sleep(dice.uniform(0.5, 1.5))
        server.kill()
        await asyncio.sleep(dice.uniform(0.0, 1.0))
        await asyncio.to_thread(server.start)
        back = time.monotonic()
        for worker in workers:
            await until(lambda: _is_back(ledger, worker.pid, back), "coming back", promised(BACK))  # noqa: B023
    enough.set()
    await adding

    await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    assert {event.pid for event in audit.of_kind("trouble")} == {worker.pid for worker in workers}
    assert audit.extra_starts() == 0
    assert all(worker.is_alive for worker in workers)
    nothing_is_left_behind(url, docket.name)


async def test_no_pause_between_two_tries_is_longer_than_coming_back_may_take(
    docket: Docket,
) -> None:
    async with Worker(docket) as worker:
        pauses = [worker._round_trips._backoff.next_pause() for _ in range(500)]

    assert max(pauses) < BACK


class Recovery(Observer):
    """Tells when a worker has found its server again."""

    def __init__(self) -> None:
        self.has_happened = asyncio.Event()

    def recovered(self) -> None:
        self.has_happened.set()


async def test_a_lease_that_ended_during_an_outage_may_be_renewed_after_it(
    docket: Docket, server: ServerProcess
) -> None:
    async def work() -> None: ...

    docket.register(work)
    held = await docket.add(work)()
    claimant = Consumer("holder", "holder", ("default",), 2000, 60_000, 60_000)
    _, catch = await docket.storage.exchange(claimant).trade([], 1)
    assert catch is not None
    assert [claimed.key for claimed in catch.claimed] == [held.key]

    recovery = Recovery()
    lease = timedelta(seconds=2)
    async with (
        Worker(docket, redelivery_timeout=lease, observers=[recovery]) as idle,
        working(idle),
    ):
        server.kill()
        await asyncio.sleep(lease.total_seconds() + 0.5)
        await asyncio.to_thread(server.start)
        await asyncio.wait_for(recovery.has_happened.wait(), 60)

        connection = docket.storage.connection.threaded()
        try:
            answer = renew(connection, docket.storage.keys, "holder", catch.claimed)
        finally:
            connection.close()
        assert answer == [Hold.HELD]
        await docket.cancel(held.key)


async def test_what_ended_while_the_server_was_away_is_not_run_again_by_the_worker_that_held_it(
    docket: Docket, server: ServerProcess
) -> None:
    runs: list[int] = []
    ending = asyncio.Event()

    async def work(number: int) -> None:
        runs.append(number)
        await ending.wait()

    docket.register(work)
    added = await docket.add_many([docket.call(work)(number) for number in range(5)])
    async with Worker(docket) as worker, working(worker):
        await until(lambda: len(runs) == 5, "five in flight")
        # Another worker was faster: the server that has restarted knows the script that claims.
        with server.client() as client:
            client.script_flush()
            client.script_load(_CLAIM.source)
        worker._round_trips._reply_was_lost = True
        ending.set()
        await until_ended(docket, [execution.key for execution in added])

    assert sorted(runs) == [0, 1, 2, 3, 4]
    assert not any(name == "docket_tasks_superseded" for name, _ in worker.tally.counts)


def _is_back(ledger: Ledger, pid: int, moment: float) -> bool:
    return any(
        event.event in ("recovered", "verdict") and event.pid == pid and event.monotonic >= moment
        for event in ledger.read()
    )
