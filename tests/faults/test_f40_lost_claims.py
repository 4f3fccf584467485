"""F40: claims whose replies are lost or slow: everything runs once, without a crash, and work goes on.

A worker of two queues, busy with both, loses the replies of its claims again and again. And a worker with
many slots reads large calls over a slow line: a reply with all of them would take longer than it waits for
one. About 25 s.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta

import pytest

from docket import Docket, ExecutionState, Worker
from tests.conformance.conftest import working
from tests.fleet.process import ServerProcess
from tests.promises import promised
from tests.routing import route

from .ledger import Audit, Ledger, nothing_is_left_behind
from .line import Line
from .producing import until_ended
from .workers import tasks, until

pytestmark = pytest.mark.fault

EACH = 400
QUEUES = {"work": "default", "more": "other"}
SLOW = 2_000_000
"""Bytes in a second: with twenty-four calls of a megabyte one reply would take twelve."""


@pytest.mark.parametrize("seed", range(2))
async def test_claims_on_two_queues_whose_replies_are_lost_run_everything_once(
    docket: Docket, steady_server: ServerProcess, ledger: Ledger, url: str, seed: int
) -> None:
    dice = random.Random(seed)
    work, *_ = tasks(ledger)
    await route(docket.storage, {"more": "other"})
    calls = []
    for name in QUEUES:
        docket.register(work, names=[name])
        calls += [docket.call(name)(dice.uniform(0.0, 0.02)) for _ in range(EACH)]
    keys = [execution.key for execution in await docket.add_many(calls)]
    for key in keys:
        ledger.note("acked", key)
    with Line(steady_server.port) as line:
        async with Docket(docket.name, line.url) as there:
            for name in QUEUES:
                there.register(work, names=[name])
            worker = Worker(there, concurrency=10, queues=tuple(QUEUES.values()))
            async with worker, working(worker):
                for share in range(1, 9):
                    enough = share * 2 * EACH // 10
                    await until(lambda: started(ledger) >= enough, "progress")  # noqa: B023
                    line.lose_replies(True)
                    await asyncio.sleep(dice.uniform(0.0, 0.1))
                    line.cut()
                    line.lose_replies(False)
                await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    assert audit.repeated() == set()
    assert {record.crashes for record in audit.records.values() if record is not None} == {0}
    nothing_is_left_behind(url, docket.name)


async def test_large_calls_over_a_slow_line_are_run_once_and_with_progress(
    docket: Docket, steady_server: ServerProcess
) -> None:
    ran: Counter[int] = Counter()
    loop = asyncio.get_running_loop()
    moments: list[float] = []

    async def read(number: int, data: bytes) -> None:
        assert len(data) == 1_000_000
        ran[number] += 1
        moments.append(loop.time())

    docket.register(read)
    added = [await docket.add(read)(number, bytes(1_000_000)) for number in range(24)]
    with Line(steady_server.port, SLOW) as line:
        async with Docket(docket.name, line.url) as there:
            there.register(read)
            lease = timedelta(seconds=5)
            worker = Worker(there, concurrency=100, redelivery_timeout=lease)
            async with worker, working(worker):
                began = loop.time()
                await until_ended(docket, [execution.key for execution in added])

    assert ran == Counter(range(24))
    # A slice is four megabytes: two seconds, and a moment.
    pauses = [late - early for early, late in zip([began, *moments], moments, strict=False)]
    assert max(pauses) <= promised(2 * 4 * (1 << 20) / SLOW)
    records = await docket.storage.executions.read(*(execution.key for execution in added))
    assert {record and (record.state, record.crashes) for record in records} == {
        (ExecutionState.COMPLETED, 0)
    }


def started(ledger: Ledger) -> int:
    return sum(event.event == "start" for event in ledger.read())
