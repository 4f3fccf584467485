"""F07: SIGTERM with 100 in flight, whose durations are 0.1 to 3 times the drain time.

Leases are kept while a worker drains, although the lease is half of the drain time; what is not ready in
time is handed back with its attempt unspent; the process exits within the drain time and a second. The
same under load from very short tasks, where a claim may be under way at the moment of the signal. About
20 s.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time

import pytest

from docket import Docket, ExecutionState
from tests.promises import promised

from .conftest import Start
from .ledger import Audit, Ledger, States, nothing_is_left_behind, pending
from .producing import produce, until_ended
from .supervised import orders, pool
from .workers import until

pytestmark = [pytest.mark.fault, pytest.mark.alone]

DRAIN = 2.0


async def test_a_drain_keeps_leases_and_hands_back_what_is_not_ready_with_its_attempt_unspent(
    docket: Docket, url: str, ledger: Ledger, states: States, start: Start
) -> None:
    dice = random.Random(7)
    durations = [DRAIN * dice.uniform(0.1, 3.0) for _ in range(100)]
    keys = await produce(docket, ledger, durations)
    removed_tasks = start(concurrency=100, lease=1.0, drain=DRAIN)
    await until(lambda: len(removed_tasks.events("start")) == 100, "100 in flight")
    # Durations count from the start of each run, the drain time from the signal: next to each other here.
    told = time.monotonic()
    removed_tasks.signal(signal.SIGTERM)
    staying = start(concurrency=100)

    assert await removed_tasks.until_gone() == 0
    took = time.monotonic() - told

    await until_ended(docket, keys)
    assert took <= promised(DRAIN + 1)
    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    audit.repeats_are_due_to([])
    audit.states_are_legal(states.heard())
    interrupted = {event.key for event in removed_tasks.events("interrupted")}
    finished = {event.key for event in removed_tasks.events("end")}
    assert interrupted | finished == set(keys)
    assert not interrupted & finished
    assert interrupted == {event.key for event in staying.events("start")}
    assert {event.attempt for event in audit.of_kind("start")} == {1}
    assert {record.crashes for record in audit.records.values() if record is not None} == {0}
    ready = {key for key, seconds in zip(keys, durations, strict=True) if seconds < 0.8 * DRAIN}
    assert ready <= finished
    nothing_is_left_behind(url, docket.name)


@pytest.mark.parametrize("concurrency", [1, 10])
async def test_a_worker_that_is_told_to_go_while_it_claims_leaves_nothing_pending(
    docket: Docket, url: str, ledger: Ledger, start: Start, concurrency: int
) -> None:
    dice = random.Random(concurrency)
    await produce(docket, ledger, [0.001] * 3000)
    for _ in range(3):
        removed_tasks = await start(concurrency=concurrency, drain=DRAIN).until_up()
        await until(lambda: bool(removed_tasks.events("start")), "a first run")  # noqa: B023
        await asyncio.sleep(dice.uniform(0.0, 0.1))
        removed_tasks.signal(signal.SIGTERM)

        assert await removed_tasks.until_gone() == 0

        audit = await Audit.of(docket, ledger)
        assert audit.in_flight_at_the_end_of([removed_tasks.pid]) == set()
        assert pending(url, docket.name) == 0
        assert removed_tasks.events("interrupted") == []


@pytest.mark.parametrize("before", [0, 4], ids=["idle", "busy"])
async def test_what_was_claimed_just_before_the_signal_is_handed_back_in_time(
    docket: Docket, url: str, ledger: Ledger, start: Start, before: int
) -> None:
    removed_tasks = await start(concurrency=4, lease=10.0, drain=0.5, late=0.3).until_up()
    keys = await produce(docket, ledger, [0.0] * before + [30.0] * 4)
    await until(lambda: len(removed_tasks.events("claimed")) > bool(before), "a claim on its way")
    told = time.monotonic()
    removed_tasks.signal(signal.SIGTERM)

    assert await removed_tasks.until_gone() == 0

    assert time.monotonic() - told <= promised(0.5 + 1)
    assert pending(url, docket.name) == 0
    records = await docket.storage.executions.read(*keys[before:])
    assert {record and (record.state, record.attempt, record.crashes) for record in records} == {
        (ExecutionState.QUEUED, 1, 0)
    }


async def test_a_program_is_gone_a_second_after_its_drain_although_its_threads_go_on(
    docket: Docket, url: str, ledger: Ledger, start: Start
) -> None:
    removed_tasks = await start(concurrency=2, lease=30.0, drain=0.5).until_up()
    blocking = await produce(docket, ledger, [30.0] * 2, task="block")
    await until(lambda: len(removed_tasks.events("start")) == 2, "both runs")
    told = time.monotonic()
    removed_tasks.signal(signal.SIGTERM)

    assert await removed_tasks.until_gone() == 0

    assert time.monotonic() - told <= promised(0.5 + 1)
    assert pending(url, docket.name) == 0
    records = await docket.storage.executions.read(*blocking)
    assert {record and (record.state, record.attempt, record.crashes) for record in records} == {
        (ExecutionState.QUEUED, 1, 0)
    }


async def test_a_supervised_process_is_gone_a_second_after_its_drain_whatever_its_tasks_do(
    docket: Docket, url: str, ledger: Ledger
) -> None:
    waiting = await produce(docket, ledger, [30.0] * 10)
    blocking = await produce(docket, ledger, [30.0] * 10, task="block")
    quick = await produce(docket, ledger, [0.6] * 10)
    async with pool(docket, ledger, 1, orders(url, docket.name, concurrency=30, lease=30)) as fleet:
        await until(
            lambda: sum(event.event == "start" for event in ledger.read()) == 30, "30 in flight"
        )
        told = time.monotonic()
        await fleet.stop(1.0)
        assert time.monotonic() - told <= promised(1.0 + 1)

    assert pending(url, docket.name) == 0
    ends = await docket.storage.executions.read(*quick)
    assert {record and record.state for record in ends} == {ExecutionState.COMPLETED}
    rest = await docket.storage.executions.read(*waiting, *blocking)
    assert {record and (record.state, record.attempt, record.crashes) for record in rest} == {
        (ExecutionState.QUEUED, 1, 0)
    }
