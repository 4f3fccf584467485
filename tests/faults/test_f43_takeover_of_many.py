"""F43: many long runs, and one worker dies: others have taken them over a second after its lease has ended.

Measured as free slots that are filled; DOCKET_TAKEOVER says of how many. What a supervised process ran is to
be had within a second of its death, and runs again as suspect. About 15 s.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import timedelta

import pytest

from docket import Docket, ExecutionState, Worker
from docket.storage.claims import MOST, Consumer
from tests.conformance.conftest import working
from tests.promises import promised

from .ledger import Ledger
from .producing import produce
from .supervised import orders, pool
from .workers import until

pytestmark = [pytest.mark.fault, pytest.mark.alone]

RUNS = int(os.environ.get("DOCKET_TAKEOVER", "300"))
LEASE = 2.0


async def test_what_a_silent_worker_ran_fills_free_slots_a_second_after_its_lease(
    docket: Docket,
) -> None:
    begun: set[int] = set()
    end = asyncio.Event()

    async def work(number: int) -> None:
        begun.add(number)
        await end.wait()

    docket.register(work)
    lease = timedelta(seconds=LEASE)
    async with Worker(docket, concurrency=RUNS, redelivery_timeout=lease) as heir:
        async with working(heir):
            silent = Consumer("silent", "silent", ("default",), int(LEASE * 1000), 60_000, 60_000)
            claimed = 0
            # Nobody else may claim what is for the silent one.
            heir.concurrency = 0
            await heir._round_trips.until_landed()
            await docket.add_many([docket.call(work)(number) for number in range(RUNS)])
            while claimed < RUNS:
                _, catch = await docket.storage.exchange(silent).trade([], RUNS - claimed)
                assert catch is not None
                assert len(catch.claimed) <= MOST
                claimed += len(catch.claimed)
            over = time.monotonic() + LEASE
            heir.concurrency = RUNS
            await until(lambda: len(begun) == RUNS, "the takeover")
            late = time.monotonic() - over
            end.set()
            print(f"{RUNS} runs were taken over {late:.2f} s after the lease")
            assert late <= promised(1.0)


async def test_what_a_killed_process_of_a_supervisor_ran_is_to_be_had_within_a_second(
    docket: Docket, url: str, ledger: Ledger
) -> None:
    keys = await produce(docket, ledger, [600.0] * RUNS)
    told = orders(url, docket.name, concurrency=RUNS, lease=30.0)
    async with pool(docket, ledger, 1, told) as fleet:
        await until(lambda: started(ledger) == RUNS, "all in flight")
        os.kill(fleet.processes[0].pid, signal.SIGKILL)
        died = time.monotonic()
        async with docket.redis() as client:
            while await client.zcard(docket.storage.keys.suspects()) < RUNS:
                assert time.monotonic() <= died + promised(1.0)
                await asyncio.sleep(0.01)
        print(f"{RUNS} runs were to be had {time.monotonic() - died:.2f} s after the death")

    records = await docket.storage.executions.read(*keys)
    assert {record and record.state for record in records} <= {
        ExecutionState.QUEUED,
        ExecutionState.RUNNING,
    }


def started(ledger: Ledger) -> int:
    return sum(event.event == "start" for event in ledger.read())
