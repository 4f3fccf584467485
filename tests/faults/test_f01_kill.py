"""F01: kill -9 of workers in the middle of their tasks, at random points.

Twelve processes die with four tasks each while another one lives: each of the 48 runs again within a
lease (2 s) and a second. Then processes die one after the other under load from very short tasks, so that
the points of death fall into claims and settlements as well: 12 deaths. The numbers are chosen so that
this file takes about 30 s on two cores.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time

import pytest

from docket import Docket, ExecutionState
from docket.foundation.lifecycle import DeadReason
from tests.promises import promised

from .conftest import Start
from .ledger import Audit, Ledger, States, nothing_is_left_behind
from .producing import produce, until_ended
from .supervised import orders, pool
from .workers import until

pytestmark = pytest.mark.fault

LEASE = 2.0
VICTIMS = 12
EACH = 4


async def test_what_a_killed_worker_held_runs_again_within_a_lease_and_a_second(
    docket: Docket, url: str, ledger: Ledger, states: States, start: Start
) -> None:
    dice = random.Random(1)
    heir = await start(concurrency=VICTIMS * EACH).until_up()
    # It is not to take anything yet, and on a busy machine it would be long in starting.
    heir.signal(signal.SIGSTOP)
    victims = [start(concurrency=EACH, lease=LEASE) for _ in range(VICTIMS)]
    for victim in victims:
        await victim.until_up()
    keys = await produce(docket, ledger, [6.0] * (VICTIMS * EACH))
    await until(lambda: _started(ledger) >= len(keys), "every slot being filled")
    heir.signal(signal.SIGCONT)

    deaths: dict[int, float] = {}
    for victim in victims:
        await asyncio.sleep(dice.uniform(0.0, 0.2))
        victim.signal(signal.SIGKILL)
        deaths[victim.pid] = time.monotonic()
    await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    audit.repeats_are_due_to(deaths)
    audit.states_are_legal(states.heard())
    again = {event.key: event.monotonic for event in heir.events("start")}
    in_time = {
        event.key: again[event.key] - deaths[event.pid]
        for event in audit.of_kind("start")
        if event.pid in deaths and event.run in audit.in_flight_at_the_end_of([event.pid])
    }
    assert len(in_time) >= VICTIMS
    assert max(in_time.values()) <= promised(LEASE + 1), sorted(in_time.values())[-3:]
    nothing_is_left_behind(url, docket.name)


async def test_workers_that_are_killed_at_any_moment_of_short_tasks_leave_one_outcome_of_each(
    docket: Docket, url: str, ledger: Ledger, states: States, start: Start
) -> None:
    dice = random.Random(2)
    killed: list[int] = []
    survivor = await start(concurrency=2).until_up()
    keys: list[str] = []
    for _ in range(4):
        pair = [start(concurrency=10, lease=2.0) for _ in range(2)]
        for victim in pair:
            await victim.until_up()
        keys += await produce(docket, ledger, [dice.uniform(0.0, 0.02) for _ in range(600)])
        for victim in pair:
            await asyncio.sleep(dice.uniform(0.02, 0.15))
            victim.signal(signal.SIGKILL)
            killed.append(victim.pid)
    start(concurrency=20)
    await until_ended(docket, keys)

    assert survivor.is_alive
    audit = await Audit.of(docket, ledger)
    audit.nothing_is_lost()
    for key, record in audit.records.items():
        # Three deaths alone under one task, or ten, make a dead letter, and nothing else does.
        assert record is not None
        if record.state is not ExecutionState.COMPLETED:
            assert (record.state, record.reason) == (
                ExecutionState.FAILED,
                DeadReason.CRASHED.value,
            )
            assert record.crashes >= 3, key
    audit.outcomes_are_single()
    audit.repeats_are_due_to(killed)
    audit.states_are_legal(states.heard())
    nothing_is_left_behind(url, docket.name)


async def test_what_a_killed_process_of_a_supervisor_held_runs_again_among_few_others(
    docket: Docket, url: str, ledger: Ledger
) -> None:
    keys = await produce(docket, ledger, [2.5] * 20)
    async with pool(docket, ledger, 2, orders(url, docket.name, concurrency=20, lease=30)) as fleet:
        await until(lambda: _started(ledger) == len(keys), "all in flight")
        holders = {event.pid for event in ledger.read() if event.event == "start"}
        victim = next(process.pid for process in fleet.processes if process.pid in holders)
        os.kill(victim, signal.SIGKILL)
        death = time.monotonic()
        await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    held = {event.key for event in audit.of_kind("start") if event.pid == victim}
    again = [event for event in audit.of_kind("start") if event.monotonic > death]
    assert {event.key for event in again} == held
    assert audit.extra_starts() == len(held)
    # As suspects, in a process of their own, and a quarter of its slots at a time.
    assert not holders & {event.pid for event in again}
    assert max(event.monotonic for event in again) <= death + promised(4 * 2.5 + 30)
    first = sorted(event.monotonic for event in again)
    assert all(late - early >= 2.0 for early, late in zip(first, first[6:], strict=False))
    nothing_is_left_behind(url, docket.name)


def _started(ledger: Ledger) -> int:
    return sum(event.event == "start" for event in ledger.read())
