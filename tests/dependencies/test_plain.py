"""What plain functions are given works there, and blocks; what cannot is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from docket import (
    CurrentDocket,
    CurrentExecution,
    CurrentSyncDocket,
    CurrentWorker,
    Depends,
    Docket,
    Execution,
    ExecutionState,
    Perpetual,
    Progress,
    Retry,
    SyncDocket,
    SyncProgress,
    TaskKey,
    Timeout,
    Worker,
)
from docket.annotations import is_plain
from docket.calls.registry import Registry
from docket.execution import ExecutionProgress
from docket.foundation.policy import TaskPolicy
from docket.sync import Bridge, SyncExecution, SyncExecutionProgress
from tests.compat.conftest import soon

told: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    told.clear()


async def greet(name: str) -> None:
    told.append(name)


async def finished(docket: Docket, worker: Worker, task: Any, *args: Any) -> Execution:
    execution = await docket.add(task)(*args)
    await worker.run_until_finished()
    await execution.sync()
    return execution


async def test_a_plain_function_adds_work_and_tells_how_far_it_has_come(
    docket: Docket, worker: Worker
) -> None:
    def fan_out(
        names: list[str],
        docket: SyncDocket = CurrentSyncDocket(),
        progress: SyncProgress = SyncProgress(),
    ) -> str:
        progress.set_total(len(names))
        for name in names:
            docket.add(greet)(name)
            progress.increment()
        progress.set_message("done")
        return f"{progress.current} of {progress.total} {progress.message}"

    execution = await finished(docket, worker, fan_out, ["Jane", "John"])

    assert sorted(told) == ["Jane", "John"]
    assert await execution.get_result() == "2 of 2 done"
    assert (execution.progress.current, execution.progress.message) == (2, "done")


async def test_what_an_async_function_awaits_blocks_in_a_plain_one(
    docket: Docket, worker: Worker
) -> None:
    def work(
        docket: Any = CurrentDocket(),
        progress: Any = Progress(),
        run: Any = CurrentExecution(),
        worker: Worker = CurrentWorker(),
        key: str = TaskKey(),
    ) -> list[Any]:
        docket.add(greet)("Jane")
        progress.set_total(5)
        progress.increment(3)
        run.progress.increment()
        run.sync()
        kinds = [type(one).__name__ for one in (docket, progress, run)]
        return [*kinds, run.key == key, run.progress.current, worker.name]

    execution = await finished(docket, worker, work)

    assert await execution.get_result() == [
        *("SyncDocket", "SyncProgress", "SyncExecution"),
        *(True, 4, worker.name),
    ]
    assert told == ["Jane"]


async def test_what_factories_return_blocks_too_and_they_themselves_await(
    docket: Docket, worker: Worker
) -> None:
    async def prepared(docket: Docket = CurrentDocket()) -> Docket:
        await docket.add(greet)("from the factory")
        return docket

    def progress_of(run: Execution = CurrentExecution()) -> ExecutionProgress:
        return run.progress

    def work(docket: Any = Depends(prepared), progress: Any = Depends(progress_of)) -> None:
        assert isinstance(docket, SyncDocket)
        assert isinstance(progress, SyncExecutionProgress)
        docket.add(greet)("from the task")

    execution = await finished(docket, worker, work)

    assert execution.error is None
    assert sorted(told) == ["from the factory", "from the task"]


async def test_handlers_work_in_plain_functions(docket: Docket, worker: Worker) -> None:
    def work(
        perpetual: Perpetual = Perpetual(),
        timeout: Timeout = Timeout(timedelta(minutes=1)),
        retry: Retry = Retry(attempts=2),
    ) -> None:
        timeout.extend(timedelta(minutes=1))
        told.append((timeout.remaining() > timedelta(minutes=1), timeout.expired()))
        perpetual.cancel()
        if retry.attempt == 1:
            retry.in_(timedelta(0))

    execution = await finished(docket, worker, work)

    assert told == [(True, False)] * 2
    assert execution.state is ExecutionState.COMPLETED


async def test_an_async_function_in_a_plain_coat_awaits(docket: Docket, worker: Worker) -> None:
    def coated(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def coat(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return coat

    @coated
    async def work(docket: Docket = CurrentDocket(), progress: Progress = Progress()) -> None:
        await docket.add(greet)("Jane")
        await progress.increment()

    assert not is_plain(work)
    assert (await finished(docket, worker, work)).error is None
    assert told == ["Jane"]


class Coroutine:
    """Can be called, and awaited."""

    async def __call__(self, docket: SyncDocket = CurrentSyncDocket()) -> None: ...


async def in_async(docket: SyncDocket = CurrentSyncDocket()) -> None: ...


async def in_async_too(progress: SyncProgress = SyncProgress()) -> None: ...


def made(docket: SyncDocket = CurrentSyncDocket()) -> None: ...


def in_factory(value: None = Depends(made)) -> None: ...


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (
            in_async,
            r"for 'docket' of in_async, found .*\(CurrentSyncDocket\); take CurrentDocket\(\)",
        ),
        (in_async_too, r"for 'progress' of in_async_too, found .*\(SyncProgress\)"),
        (in_factory, r"for 'docket' of made, found .*take it as a parameter of the plain task"),
    ],
)
def test_what_would_hold_up_an_event_loop_is_refused_when_it_is_registered(
    task: Any, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        Registry().register(task)


def test_objects_that_are_awaited_are_not_plain() -> None:
    with pytest.raises(ValueError, match="found what would hold up its event loop"):
        Registry().register(Coroutine(), ["coroutine"])


def the_docket(docket: Docket = CurrentDocket()) -> Any:
    return {"docket": SyncDocket.of(docket, Bridge.here())}


def computing(found: Any = Depends(the_docket)) -> None: ...


async def test_what_can_not_go_to_another_process_is_told_of(
    docket: Docket, worker: Worker
) -> None:
    docket.register(computing)
    docket.registry.apply_policies({"computing": TaskPolicy(in_process=True)})

    execution = await finished(docket, worker, computing)

    assert execution.state is ExecutionState.FAILED
    assert "found a SyncDocket, which is tied to this one" in (execution.error or "")


async def test_a_progress_of_no_run_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="SyncProgress is known while a task runs"):
        SyncProgress().increment()


def test_an_execution_is_typed(docket: Docket) -> None:
    def work(run: SyncExecution, docket: SyncDocket = CurrentSyncDocket()) -> None:
        docket.replace(greet, soon(1), run.key)("Jane")

    docket.register(work)
