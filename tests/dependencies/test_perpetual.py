"""What follows a run of a perpetual task, at the edges."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

from docket import CurrentExecution, Docket, Execution, ExecutionState, Perpetual, Worker


def test_the_first_run_of_an_automatic_task_is_due_at_once() -> None:
    assert Perpetual().initial_when is None


def test_what_is_declared_is_not_changed_by_runs() -> None:
    declared = Perpetual(timedelta(seconds=3), True)

    assert (declared.every, declared.automatic) == (timedelta(seconds=3), True)
    assert (declared.args, declared.kwargs, declared.cancelled) == ((), {}, False)


def test_where_nothing_runs_any_arguments_may_be_given_to_the_next_run() -> None:
    perpetual = Perpetual()
    perpetual.perpetuate(1, name="Jane")

    assert (perpetual.args, perpetual.kwargs) == ((1,), {"name": "Jane"})


async def test_what_one_run_arranges_does_not_hold_for_the_next(
    docket: Docket, worker: Worker
) -> None:
    seen: list[tuple[int, timedelta]] = []
    last: list[Any] = []

    async def work(
        number: int,
        perpetual: Perpetual = Perpetual(timedelta(milliseconds=10)),
        execution: Execution = CurrentExecution(),
    ) -> None:
        if last:
            seen.append((number, execution.when - last[-1]))
        last.append(execution.when)
        if len(last) == 1:
            perpetual.after(timedelta(seconds=1))
            perpetual.perpetuate(number + 1)

    await docket.add(work, key="mine")(1)
    await worker.run_at_most({"mine": 3})

    assert [number for number, _ in seen] == [2, 2]
    assert seen[0][1] >= timedelta(milliseconds=995)
    assert seen[1][1] < timedelta(milliseconds=900)


async def test_arguments_that_can_not_be_stored_end_the_chain_with_an_error(
    docket: Docket, worker: Worker
) -> None:
    async def work(number: Any, perpetual: Perpetual = Perpetual()) -> None:
        perpetual.perpetuate(threading.Lock())

    execution = await docket.add(work)(1)
    await worker.run_until_finished()
    await execution.sync()

    assert execution.state is ExecutionState.FAILED
    assert execution.error is not None
    assert execution.error.startswith("NotSerializable")


async def test_each_run_has_its_own_generation_and_its_first_attempt(
    docket: Docket, worker: Worker
) -> None:
    seen: list[tuple[int, int]] = []

    async def work(
        perpetual: Perpetual = Perpetual(), execution: Execution = CurrentExecution()
    ) -> None:
        seen.append((execution.generation, execution.attempt))

    await docket.add(work, key="mine")()
    await worker.run_at_most({"mine": 3})

    assert seen == [(1, 1), (2, 1), (3, 1)]
