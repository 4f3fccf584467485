"""F03: tasks that take their process with them: it exits, crashes, or is killed for want of memory.

Each is a dead letter after three crashes; its neighbours in other processes, and what waits, are done. What
only runs into a limit of memory fails like any other task. About 6 s.
"""

from __future__ import annotations

import dataclasses

import pytest

from docket import Docket, ExecutionState
from docket.foundation.lifecycle import DeadReason
from docket.foundation.worker_spec import TaskSpec

from .ledger import Audit, Ledger, dead_letters
from .producing import produce, until_ended
from .supervised import orders, pool

pytestmark = pytest.mark.fault

DEADLY = {"exits": "exit_hard", "crashes": "crash", "is killed": "be_killed"}


async def add(docket: Docket, name: str) -> str:
    async def named() -> None: ...

    docket.register(named, [name])
    return (await docket.add(name)()).key


async def test_a_task_that_takes_its_process_with_it_is_a_dead_letter_after_three_crashes(
    docket: Docket, url: str, ledger: Ledger
) -> None:
    tasks = {name: TaskSpec(f"tests.faults.deadly:{name}") for name in DEADLY.values()}
    told = orders(url, docket.name, concurrency=1)
    told = dataclasses.replace(told, tasks={**told.tasks, **tasks})
    deadly = [await add(docket, name) for name in DEADLY.values()]
    good = await produce(docket, ledger, [0.01] * 60)
    async with pool(docket, ledger, 2, told) as fleet:
        await until_ended(docket, [*deadly, *good])
        assert fleet.exits["crash"] == 9

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    for record in await docket.storage.executions.read(*deadly):
        assert record is not None
        assert (record.state, record.reason) == (ExecutionState.FAILED, DeadReason.CRASHED.value)
        assert record.crashes == 3
    assert dead_letters(url, docket.name) == set(deadly)


async def test_a_task_that_runs_out_of_memory_fails_and_its_process_lives(
    docket: Docket, url: str, ledger: Ledger
) -> None:
    told = orders(url, docket.name, concurrency=2)
    told = dataclasses.replace(
        told, tasks={**told.tasks, "swell": TaskSpec("tests.faults.deadly:swell")}
    )
    async with pool(docket, ledger, 1, told) as fleet:
        swollen = await add(docket, "swell")
        good = await produce(docket, ledger, [0.01] * 10)
        await until_ended(docket, [swollen, *good])
        assert not fleet.exits["crash"]

    (record,) = await docket.storage.executions.read(swollen)
    assert record is not None
    assert (record.state, record.reason) == (ExecutionState.FAILED, DeadReason.FAILED.value)
    assert "MemoryError" in (record.error or "")
