"""F31: a task that kills its process beside innocents: every innocent completes, the guilty one is dead.

What was in flight in a process that died runs next among fewer others, in a process of its own, until the
guilty one has died alone. About 15 s each.
"""

from __future__ import annotations

import dataclasses

import pytest

from docket import Docket, ExecutionState
from docket.lifecycle import DeadReason
from docket.orders import TaskOrder

from .ledger import Audit, Ledger, dead_letters, nothing_is_left_behind
from .producing import produce, until_ended
from .supervised import orders, pool

pytestmark = pytest.mark.fault

INNOCENTS = 10
WAYS = {"be_killed": "SIGKILL", "crash": "SIGSEGV", "exit_hard": "exit code 3"}


async def add(docket: Docket, name: str) -> str:
    async def named() -> None: ...

    docket.register(named, [name])
    return (await docket.add(name)()).key


@pytest.mark.parametrize("deed", WAYS)
async def test_innocents_beside_a_task_that_kills_its_process_complete(
    docket: Docket, url: str, ledger: Ledger, deed: str
) -> None:
    told = orders(url, docket.name, concurrency=INNOCENTS + 1)
    tasks = {**told.tasks, deed: TaskOrder(f"tests.faults.supervised:{deed}")}
    told = dataclasses.replace(told, tasks=tasks)
    innocent = await produce(docket, ledger, [1.0] * INNOCENTS)
    guilty = await add(docket, deed)
    async with pool(docket, ledger, 1, told) as fleet:
        await until_ended(docket, [*innocent, guilty], 90)
        assert not fleet.is_degraded

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    (record,) = await docket.storage.executions.read(guilty)
    assert record is not None
    assert (record.state, record.reason) == (ExecutionState.FAILED, DeadReason.CRASHED.value)
    assert "3 of them while they ran nothing else" in (record.error or "")
    assert WAYS[deed] in (record.error or "")
    assert dead_letters(url, docket.name) == {guilty}
    nothing_is_left_behind(url, docket.name)
