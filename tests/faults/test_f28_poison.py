"""F28: much poison among the work: each is a dead letter after three deaths alone, everything else is done.

Four executions, of three kinds, take their process with them, again and again; innocents are in flight beside
them, and wait behind them. About 20 s.
"""

from __future__ import annotations

import dataclasses
import random

import pytest

from docket import Docket, ExecutionState
from docket.foundation.lifecycle import DeadReason
from docket.foundation.worker_spec import TaskSpec

from .ledger import Audit, Ledger, dead_letters, nothing_is_left_behind
from .producing import produce, until_ended
from .supervised import orders, pool

pytestmark = pytest.mark.fault

POISON = ("be_killed", "crash", "exit_hard", "be_killed")
INNOCENTS = 60
ALONE = 3
"""Deaths alone that make a dead letter."""


@pytest.mark.timeout(240)
async def test_much_poison_is_all_dead_letters_and_the_work_around_it_is_done(
    docket: Docket, url: str, ledger: Ledger
) -> None:
    async def named() -> None: ...

    docket.register(named, sorted(set(POISON)))
    told = orders(url, docket.name, concurrency=8)
    tasks = {name: TaskSpec(f"tests.faults.deadly:{name}") for name in POISON}
    told = dataclasses.replace(told, tasks={**told.tasks, **tasks})
    dice = random.Random(28)
    poisonous: list[str] = []
    innocent: list[str] = []
    for name in POISON:
        durations = [dice.uniform(0.01, 0.5) for _ in range(INNOCENTS // len(POISON))]
        innocent += await produce(docket, ledger, durations)
        poisonous.append((await docket.add(name)()).key)

    async with pool(docket, ledger, 2, told) as fleet:
        await until_ended(docket, [*poisonous, *innocent], 180)
        assert not fleet.is_degraded
        # What runs beside others may die with them, too; alone, each has died three times and no more.
        assert fleet.exits["crash"] >= ALONE * len(POISON)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    for record in await docket.storage.executions.read(*poisonous):
        assert record is not None
        assert (record.state, record.reason) == (ExecutionState.FAILED, DeadReason.CRASHED.value)
        assert f"{ALONE} of them while they ran nothing else" in (record.error or ""), record.error
    assert dead_letters(url, docket.name) == set(poisonous)
    nothing_is_left_behind(url, docket.name)
