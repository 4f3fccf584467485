"""F43: many long runs, and one worker dies: others have taken them over a second after its lease has ended.

Measured as free slots that are filled. About 10 s.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest

from docket import Docket, Worker
from docket.storage.exchange import MOST, Claimant
from tests.conformance.conftest import working

from .workers import until

pytestmark = pytest.mark.fault

RUNS = 300
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
            silent = Claimant("silent", "silent", ("default",), int(LEASE * 1000), 60_000, 60_000)
            claimed = 0
            # Nobody else may claim what is for the silent one.
            heir.concurrency = 0
            await docket.add_many([docket.call(work)(number) for number in range(RUNS)])
            while claimed < RUNS:
                _, catch = await docket.storage.exchange(silent).trade([], RUNS - claimed)
                assert catch is not None
                assert len(catch.claimed) <= MOST
                claimed += len(catch.claimed)
            over = time.monotonic() + LEASE
            heir.concurrency = RUNS
            await until(lambda: len(begun) == RUNS, "the takeover", LEASE + 5)
            late = time.monotonic() - over
            end.set()
            assert late <= 1.0
