"""F18: the slot of a docket is moved to other nodes of its cluster under load, as ``redis-cli`` does it.

To another node and back, to a node that has just come, and away from it before it goes; the keys follow in
slices. Two workers and a producer never stop. Nothing is lost, nothing is started twice, and work goes on
within 2 s of the end of each move. About 20 s per server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from redis.crc import key_slot

from docket import Docket, Execution
from tests.fleet.binaries import redis_6, redis_8, valkey_9
from tests.fleet.cluster import Cluster
from tests.fleet.process import ServerProcess
from tests.promises import promised

from .conftest import Start
from .ledger import Audit, Ledger
from .producing import until_ended
from .workers import tasks, until

pytestmark = pytest.mark.fault

BINARIES = {"redis-6.2": redis_6, "redis-8.2": redis_8, "valkey-9.1": valkey_9}
SLICES = 50
"""Into which a move is cut: there are many moments at which some of the docket is here and some there."""
ON_TIME = 2.0


@pytest.fixture(params=BINARIES)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(BINARIES[request.param](), tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.url


class Producer:
    """Adds work without end, waits for some of it, and writes down what was acknowledged."""

    def __init__(self, docket: Docket, ledger: Ledger) -> None:
        self._docket = docket
        self._ledger = ledger
        self._work = tasks(ledger)[0]
        self._waiting: list[asyncio.Task[object]] = []
        self._task = asyncio.create_task(self._run())
        self.added: list[Execution] = []

    async def stop(self) -> None:
        """Stop adding; all that was waited for has come."""
        self._task.cancel()
        await asyncio.wait([self._task])
        await asyncio.gather(*self._waiting)

    async def _run(self) -> None:
        while True:
            now = datetime.now(timezone.utc)
            # Some at once, some soon: to fall due is a step of its own.
            due = [now + number % 2 * timedelta(seconds=0.3) for number in range(5)]
            calls = [self._docket.call(self._work, when)(0.02) for when in due]
            added = await self._docket.add_many(calls)
            for execution in added:
                self._ledger.note("acked", execution.key)
            self.added += added
            result = added[-1].get_result(timeout=timedelta(seconds=60))
            self._waiting.append(asyncio.create_task(result))
            await asyncio.sleep(0.02)


async def move(cluster: Cluster, key: str, to: ServerProcess) -> float:
    """Move the slot of a key in slices; tells when that was done."""

    def carry_over() -> None:
        kept = cluster.holder(key).call("CLUSTER", "COUNTKEYSINSLOT", key_slot(key.encode()))
        cluster.begin_move(key, to)
        while cluster.carry(key, to, most=kept // SLICES + 1):
            time.sleep(0.02)
        cluster.finish_move(key, to)

    await asyncio.to_thread(carry_over)
    return time.monotonic()


async def test_a_slot_that_is_moved_under_load_loses_nothing_and_repeats_nothing(
    docket: Docket, ledger: Ledger, cluster: Cluster, start: Start
) -> None:
    key = docket.storage.keys.future
    home = cluster.holder(key)
    for worker in [start(concurrency=10, lease=30.0) for _ in range(2)]:
        await worker.until_up()
    # With something in the future the key exists by which scripts are led to their node, here or there.
    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    await docket.add(tasks(ledger)[0], tomorrow, key="tomorrow")(0.0)
    producer = Producer(docket, ledger)
    await until(lambda: len(producer.added) >= 50, "a first load")

    async def move_on(to: ServerProcess) -> None:
        done = await move(cluster, key, to)
        assert cluster.holder(key) is to
        acknowledged = len(producer.added)
        await until(lambda: _has_begun_since(ledger, done), "work after a move", promised(ON_TIME))
        await until(
            lambda: len(producer.added) > acknowledged, "an add after a move", promised(ON_TIME)
        )
        await asyncio.sleep(0.3)

    for _ in range(2):
        await move_on(cluster.other(key))
        await move_on(home)
    guest = await asyncio.to_thread(cluster.add_node)
    await move_on(guest)
    await move_on(home)
    await asyncio.to_thread(cluster.remove_node, guest)
    await producer.stop()
    await until_ended(docket, [execution.key for execution in producer.added])
    await docket.cancel("tomorrow")

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    assert audit.extra_starts() == 0
    assert await docket.storage.executions.depths(["default"]) == (0, 0)
    # Nothing has begun a second docket where the slot was not.
    keys = [node.call("DBSIZE") for node in cluster.nodes if node is not home]
    assert keys == [0, 0]


def _has_begun_since(ledger: Ledger, moment: float) -> bool:
    return any(
        event.event == "start" and event.monotonic >= moment for event in ledger.read()[-200:]
    )
