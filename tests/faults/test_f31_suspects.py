"""F31: a task that kills its process beside innocents: every innocent completes, the guilty one is dead.

What was in flight in a process that died runs next among fewer others, in a process of its own if there is
a supervisor, until the guilty one has died alone. By its seed each test draws where the guilty one stands and
how long it takes to kill; ``make innocents`` tries fifty of them. About 25 s each.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from docket import Docket, Execution, ExecutionState, Worker
from docket.foundation.lifecycle import DeadReason
from docket.foundation.service import end
from docket.storage.claims import Consumer, release
from docket.storage.executions import Record
from tests.conformance.conftest import working
from tests.promises import promised

from .conftest import Start
from .deadly import WAYS, kill
from .ledger import Audit, Ledger, dead_letters, nothing_is_left_behind
from .producing import produce, until_ended
from .supervised import orders, pool
from .workers import tasks, until

pytestmark = [pytest.mark.fault, pytest.mark.alone]

INNOCENTS = 9
LASTS = 3.0
BOUND = 4 * LASTS + 30
"""Seconds within which every innocent completes."""

SEEDS = range(int(os.environ.get("DOCKET_INNOCENTS", "2")))


async def add_guilty(docket: Docket, way: str, after: float) -> Execution:
    docket.register(kill)
    return await docket.add(kill)(way, after)


async def add_all(
    docket: Docket, ledger: Ledger, dice: random.Random, way: str, innocents: int = INNOCENTS
) -> tuple[list[str], str]:
    """Innocents, and a guilty one somewhere among them."""
    before = dice.randint(0, innocents)
    first = await produce(docket, ledger, [LASTS] * before)
    guilty = await add_guilty(docket, way, dice.choice([0.0, 0.3, 1.0]))
    return [*first, *await produce(docket, ledger, [LASTS] * (innocents - before))], guilty.key


def completed_within(audit: Audit, keys: list[str]) -> float:
    """Seconds from the first start of any until the last of these had ended."""
    begun = min(event.monotonic for event in audit.of_kind("start"))
    ends = {event.key: event.monotonic for event in audit.of_kind("end")}
    return max(ends[key] for key in keys) - begun


async def is_dead(docket: Docket, key: str) -> Record:
    (record,) = await docket.storage.executions.read(key)
    assert record is not None
    assert (record.state, record.reason) == (ExecutionState.FAILED, DeadReason.CRASHED.value)
    assert "3 of them while they ran nothing else" in (record.error or "")
    return record


@pytest.mark.parametrize("seed", SEEDS[1::2])
async def test_innocents_beside_a_task_that_kills_its_process_complete(
    docket: Docket, url: str, ledger: Ledger, seed: int
) -> None:
    way = list(WAYS)[seed % len(WAYS)]
    innocent, guilty = await add_all(docket, ledger, random.Random(seed), way)
    told = orders(url, docket.name, concurrency=INNOCENTS + 1)
    async with pool(docket, ledger, 1, told) as fleet:
        await until_ended(docket, [*innocent, guilty], 120)
        assert not fleet.is_degraded

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    assert completed_within(audit, innocent) <= promised(BOUND)
    record = await is_dead(docket, guilty)
    death = (record.error or "").partition("; the last one ended with ")[2]
    assert death.startswith(way)
    # Those that the interpreter survives for a moment are told with where it was.
    assert ("these words:\nFatal Python error:" in death) is (way in {"SIGSEGV", "SIGABRT"})
    assert dead_letters(url, docket.name) == {guilty}
    nothing_is_left_behind(url, docket.name)


@asynccontextmanager
async def started_again(start: Start, concurrency: int) -> AsyncGenerator[None]:
    """A lone worker that is started again whenever it has died."""

    async def keep() -> None:
        while True:
            await start(concurrency=concurrency, lease=2.0).until_gone(600)

    keeping = asyncio.create_task(keep())
    yield
    await end(keeping)


@pytest.mark.parametrize("seed", SEEDS[::2])
async def test_innocents_complete_in_a_lone_worker_that_is_started_again(
    docket: Docket, url: str, ledger: Ledger, start: Start, seed: int
) -> None:
    way = list(WAYS)[seed % len(WAYS)]
    innocent, guilty = await add_all(docket, ledger, random.Random(seed), way)
    async with started_again(start, INNOCENTS + 1):
        await until_ended(docket, [*innocent, guilty], 180)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    assert completed_within(audit, innocent) <= promised(BOUND)
    await is_dead(docket, guilty)
    assert dead_letters(url, docket.name) == {guilty}
    nothing_is_left_behind(url, docket.name)


@pytest.mark.parametrize("concurrency", [100])
async def test_suspects_run_in_a_lone_worker_beside_a_run_of_ten_minutes(
    docket: Docket, ledger: Ledger, concurrency: int
) -> None:
    for task in tasks(ledger):
        docket.register(task)
    connection, keys = docket.storage.connection, docket.storage.keys
    suspect = await produce(docket, ledger, [LASTS] * 3)
    dead = Consumer("dead", "dead", ("default",), 60_000, 60_000, 60_000)
    await docket.storage.exchange(dead).trade([], len(suspect))
    async with Worker(docket, concurrency=concurrency) as worker, working(worker):
        (long,) = await produce(docket, ledger, [600.0])
        await until(lambda: worker.in_flight == 1, "the long run")
        # As if they had died so often before that each of them is to run alone.
        await connection.send(*(("HSET", keys.run(key), "suspect", 3) for key in suspect))
        assert await release(connection, keys, "dead", ["default"], "SIGKILL") == len(suspect)
        fresh = await produce(docket, ledger, [0.0] * 5)
        died = time.monotonic()
        await until_ended(docket, [*suspect, *fresh], promised(BOUND))

        ends = {
            event.key: event.monotonic - died for event in ledger.read() if event.event == "end"
        }
        assert max(ends[key] for key in suspect) <= promised(BOUND)
        # What waits for the end of others waits no longer than that.
        assert min(ends[key] for key in suspect) <= promised(10 + LASTS + 2)
        assert worker.in_flight == 1
        await docket.cancel(long)
