"""Dependencies are entered in their order, left in reverse, and never hide what went wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from typing_extensions import Self

from docket import (
    CurrentExecution,
    Depends,
    Docket,
    Execution,
    ExecutionState,
    Retry,
    TaskArgument,
    Worker,
)
from docket.dependencies import (
    AdmissionBlocked,
    Dependency,
    current_docket,
    current_execution,
    resolved_dependencies,
)
from tests.compat.conftest import soon, working


class Single(Dependency["Single"]):
    """What there can be only one of."""

    single = True

    async def __aenter__(self) -> Self:
        return self


class Special(Single):
    """One kind of it."""


async def outcome_of(
    docket: Docket, worker: Worker, task: Any, *args: Any, **kwargs: Any
) -> Execution:
    execution = await docket.add(task)(*args, **kwargs)
    await worker.run_until_finished()
    await execution.sync()
    return execution


async def test_arguments_that_do_not_fit_are_told_of_by_the_task_not_by_its_dependencies(
    docket: Docket, worker: Worker
) -> None:
    async def work(number: int, execution: Execution = CurrentExecution()) -> None: ...

    async def old(*args: int, **kwargs: int) -> None: ...

    docket.register(old, names=["work"])
    execution = await docket.add("work")(1, 2, 3, four=4)
    docket.register(work, names=["work"], replace=True)
    await worker.run_until_finished()
    await execution.sync()

    assert (execution.state, execution.reason) == (ExecutionState.FAILED, "signature")


async def test_what_was_entered_is_left_when_a_gate_blocks(docket: Docket, worker: Worker) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def opened() -> AsyncGenerator[None, None]:
        steps.append("opened")
        try:
            yield
        finally:
            steps.append("closed")

    def blocked() -> None:
        raise AdmissionBlocked(current_execution.get(), reschedule=False)

    async def work(
        line: None = Depends(opened), gate: None = Depends(blocked), late: None = Depends(opened)
    ) -> None:
        steps.append("ran")

    execution = await outcome_of(docket, worker, work)

    assert steps == ["opened", "closed"]
    assert execution.state is ExecutionState.CANCELLED


async def test_what_was_entered_is_left_when_a_run_is_cancelled_meanwhile(
    docket: Docket, worker: Worker
) -> None:
    steps: list[str] = []
    entering = asyncio.Event()

    @asynccontextmanager
    async def opened() -> AsyncGenerator[None, None]:
        steps.append("opened")
        try:
            yield
        finally:
            steps.append("closed")

    async def slow() -> None:
        entering.set()
        await asyncio.Event().wait()

    async def work(line: None = Depends(opened), slow: None = Depends(slow)) -> None:
        steps.append("ran")

    async with working(worker):
        execution = await docket.add(work)()
        await entering.wait()
        await docket.cancel(execution.key)
        with pytest.raises(Exception, match="was cancelled"):
            await execution.get_result()

    assert steps == ["opened", "closed"]


async def test_a_conflict_with_a_worker_names_the_kind_that_both_have_in_common(
    docket: Docket,
) -> None:
    async def work(special: Special = Special()) -> None: ...

    async with Worker(docket, dependencies={"mine": Single()}) as worker:
        execution = await outcome_of(docket, worker, work)
    async with Worker(docket, dependencies={"mine": Special()}) as worker:
        exact = await outcome_of(docket, worker, work)

    assert execution.error is not None
    assert "__conflict_Single__" in execution.error
    # The most special kind is named, and it alone.
    assert exact.error is not None
    assert "parameter(s): __conflict_Special__ (" in exact.error


async def test_resolved_dependencies_leaves_the_context_as_it_was(
    docket: Docket, worker: Worker
) -> None:
    async def work() -> None: ...

    one = await docket.add(work, when=soon())()
    two = await docket.add(work, when=soon())()

    async with resolved_dependencies(worker, one):
        async with resolved_dependencies(worker, two) as resolved:
            assert resolved == {}
            assert current_execution.get() is two
        assert current_execution.get() is one
        assert current_docket.get() is docket


async def test_resolving_dependencies_can_be_blocked(docket: Docket, worker: Worker) -> None:
    def blocked() -> None:
        raise AdmissionBlocked(current_execution.get())

    async def work(gate: None = Depends(blocked)) -> None: ...

    execution = await docket.add(work, when=soon())()
    with pytest.raises(AdmissionBlocked):
        async with resolved_dependencies(worker, execution):
            raise AssertionError("not reached")


async def test_runs_side_by_side_do_not_see_each_others_dependencies(
    docket: Docket, worker: Worker
) -> None:
    seen: list[tuple[str, str, str]] = []

    async def whose(execution: Execution = CurrentExecution()) -> str:
        await asyncio.sleep(0.01)
        return execution.key

    async def work(key: str, whose: str = Depends(whose), retry: Retry = Retry(attempts=2)) -> None:
        await asyncio.sleep(0.01)
        seen.append((key, whose, current_execution.get().key))
        if retry.attempt == 1:
            raise ValueError("again")

    docket.register(work)
    keys = [f"key-{number}" for number in range(20)]
    await docket.add_many([docket.call(work, key=key)(key) for key in keys])
    await worker.run_until_finished()

    assert sorted(seen) == sorted((key, key, key) for key in keys * 2)


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((1, 2), {}, {"a": 1, "b": 2}),
        ((1,), {"b": 2}, {"a": 1, "b": 2}),
        ((), {"b": 2, "a": 1}, {"a": 1, "b": 2}),
        ((1,), {}, {"a": 1}),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "by name", "any"])
async def test_arguments_are_known_by_their_parameters_however_they_are_given(
    docket: Docket,
    worker: Worker,
    args: tuple[int, ...],
    kwargs: dict[str, int],
    expected: dict[str, int],
    kind: str,
) -> None:
    def both(a: int = TaskArgument(), b: Any = TaskArgument(optional=True)) -> dict[str, int]:
        return {"a": a} if b is None else {"a": a, "b": b}

    async def plain(a: int, b: int = 0, both: Any = Depends(both)) -> Any:
        return both

    async def by_name(a: int, b: int = 0, *, both: Any = Depends(both)) -> Any:
        return both

    async def anything(a: int, *args: int, both: Any = Depends(both), **kwargs: int) -> Any:
        return both

    task: Any = {"plain": plain, "by name": by_name, "any": anything}[kind]
    if kind == "any" and len(args) == 2:
        args, expected = (1, 2, 3), {"a": 1}
    execution = await outcome_of(docket, worker, task, *args, **kwargs)

    assert await execution.get_result() == expected
