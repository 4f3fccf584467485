"""Small programs as people write them for pydocket, and what they rely on without thinking of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
import redis.exceptions
from typing_extensions import Self, override

from docket import (
    Cron,
    Disposition,
    Docket,
    Execution,
    ExecutionState,
    ExponentialRetry,
    Logged,
    Perpetual,
    Retry,
    Timeout,
    Worker,
)
from docket.dependencies import CompletionHandler, Dependency, FailureHandler, TaskOutcome
from docket.worker import default_fallback_task
from tests.compat.conftest import soon

A_MOMENT = timedelta(milliseconds=20)
AN_HOUR = timedelta(hours=1)

seen: list[Any] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    seen.clear()


async def ended(docket: Docket, task: Any, *args: Any, **kwargs: Any) -> Execution:
    """A call of a task, run to its end by a worker of its own."""
    execution = await docket.add(task)(*args, **kwargs)
    async with Worker(docket, redelivery_timeout=timedelta(seconds=1)) as worker:
        await worker.run_until_finished()
    await execution.sync()
    return execution


# Perpetual tasks in tests


async def every_hour(perpetual: Perpetual = Perpetual(every=AN_HOUR)) -> str:
    seen.append("ran")
    return "done"


async def failing_every_hour(perpetual: Perpetual = Perpetual(every=AN_HOUR)) -> None:
    seen.append("ran")
    raise ValueError("no good")


async def without_a_pause(perpetual: Perpetual = Perpetual()) -> None:
    seen.append("ran")


@pytest.mark.parametrize(
    ("task", "runs", "state", "error"),
    [
        (every_hour, 1, ExecutionState.COMPLETED, None),
        (failing_every_hour, 1, ExecutionState.FAILED, "ValueError: no good"),
        (without_a_pause, 3, ExecutionState.COMPLETED, None),
    ],
)
async def test_run_at_most_returns_and_leaves_nothing_that_is_to_come(
    docket: Docket, task: Any, runs: int, state: ExecutionState, error: str | None
) -> None:
    execution = await docket.add(task, key="mine")()
    async with Worker(docket) as worker:
        await asyncio.wait_for(worker.run_at_most({"mine": runs}), 60)
    await execution.sync()

    assert seen == ["ran"] * runs
    assert (execution.state, execution.error) == (state, error)
    assert (await docket.snapshot()).total_tasks == 0


async def test_a_condition_sees_the_arguments_of_the_run_that_would_follow(here: Docket) -> None:
    async def count(number: int, perpetual: Perpetual = Perpetual()) -> None:
        seen.append(number)
        perpetual.perpetuate(number + 1)

    here.strike_list.add_condition(lambda execution: execution.get_argument("number") > 3)
    execution = await ended(here, count, 1)

    assert seen == [1, 2, 3]
    assert execution.state is ExecutionState.COMPLETED


# Dependencies that the caller gives


@pytest.mark.parametrize("by_name", [True, False])
@pytest.mark.parametrize("given", [Retry(attempts=3), ExponentialRetry(3, A_MOMENT)])
async def test_a_retry_that_the_caller_gives_counts(
    here: Docket, given: Retry, by_name: bool
) -> None:
    async def work(retry: Retry = Retry(attempts=1)) -> None:
        seen.append(retry.attempt)
        raise ValueError("no good")

    await (ended(here, work, retry=given) if by_name else ended(here, work, given))

    assert seen == [1, 2, 3]


async def test_a_retry_that_the_caller_gives_is_asked_by_the_task(here: Docket) -> None:
    async def work(retry: Retry = Retry(attempts=1)) -> None:
        seen.append(retry.attempt)
        retry.after(A_MOMENT)

    await ended(here, work, Retry(attempts=2))

    assert seen == [1, 2]


async def test_a_timeout_and_a_perpetual_that_the_caller_gives_count(here: Docket) -> None:
    async def work(
        number: int,
        timeout: Timeout = Timeout(AN_HOUR),
        perpetual: Perpetual = Perpetual(every=AN_HOUR),
    ) -> None:
        seen.append(number)
        if len(seen) == 3:
            perpetual.cancel()
            await asyncio.Event().wait()

    execution = await ended(
        here, work, 7, timeout=Timeout(A_MOMENT), perpetual=Perpetual(every=A_MOMENT)
    )

    assert seen == [7, 7, 7]
    assert execution.state is ExecutionState.FAILED
    assert "exceeded timeout of 0.02s" in str(execution.error)


# Schedules of one's own


async def test_a_cron_that_tells_its_next_time_itself_is_asked_for_it(here: Docket) -> None:
    class Soon(Cron):
        @override
        def next_time(self) -> datetime:
            return datetime.now(timezone.utc) + A_MOMENT

    async def work(cron: Cron = Soon("0 0 1 1 *")) -> None:
        seen.append("ran")
        if len(seen) == 2:
            cron.cancel()

    here.register(work)
    async with Worker(here) as worker:
        await asyncio.wait_for(worker.run_until_finished(), 60)

    assert seen == ["ran", "ran"]


@pytest.mark.parametrize("kind", [Perpetual, Cron])
async def test_a_schedule_that_tells_its_first_time_itself_is_asked_for_it(
    here: Docket, kind: type[Perpetual]
) -> None:
    first = soon(3600)
    initial_when = property(lambda self: first)
    own: Any = type("Own", (kind,), {"initial_when": initial_when})
    declared = own("@hourly") if kind is Cron else own(automatic=True)

    async def work(perpetual: Perpetual = declared) -> None: ...

    here.register(work)
    async with Worker(here) as worker:
        running = asyncio.create_task(worker.run_forever())
        await worker.until_started()
        running.cancel()
        await running

    assert [one.when for one in (await here.snapshot()).future] == [first]


# Handlers and kinds of dependencies of one's own


class Unlucky(CompletionHandler["Unlucky"]):
    """Cannot reach Redis the first time, neither after the run nor when it is told of that failure."""

    async def __aenter__(self) -> Self:
        return self

    @override
    async def on_complete(self, execution: Execution, outcome: TaskOutcome) -> bool:
        seen.append("handled")
        if seen.count("handled") <= 2:
            raise redis.exceptions.ConnectionError("away")
        return False


class UnluckyFailure(FailureHandler["UnluckyFailure"]):
    """Cannot reach Redis the first time."""

    async def __aenter__(self) -> Self:
        return self

    @override
    async def handle_failure(self, execution: Execution, outcome: TaskOutcome) -> bool:
        seen.append("handled")
        if len(seen) == 2:
            raise redis.exceptions.ConnectionError("away")
        return False


async def completing(handler: Unlucky = Unlucky()) -> None:
    seen.append("ran")


async def failing(handler: UnluckyFailure = UnluckyFailure()) -> None:
    seen.append("ran")
    raise ValueError("no good")


@pytest.mark.parametrize(
    ("task", "state"),
    [(completing, ExecutionState.COMPLETED), (failing, ExecutionState.FAILED)],
)
async def test_a_run_whose_handler_meets_no_redis_comes_again(
    here: Docket, task: Any, state: ExecutionState, caplog: pytest.LogCaptureFixture
) -> None:
    execution = await ended(here, task)

    assert seen.count("ran") == 2
    assert (execution.state, execution.attempt) == (state, 1)
    assert "failed, again in 1.0s" in caplog.text


async def test_a_kind_without_anything_to_do_for_a_worker_gives_it_nothing(here: Docket) -> None:
    class Idle(Dependency[int]):
        @classmethod
        def worker_lifecycle(
            cls, docket: Docket, worker: Worker
        ) -> AbstractAsyncContextManager[None] | None:
            seen.append(worker.name)

        async def __aenter__(self) -> int:
            return 1

    class Busy(Idle):
        @classmethod
        @override
        @asynccontextmanager
        async def worker_lifecycle(
            cls, docket: Docket, worker: Worker
        ) -> AsyncGenerator[None, None]:
            seen.append("begun")
            yield
            seen.append("ended")

    async def work(one: Any = Idle(), two: Any = Busy()) -> int:
        return one + two

    execution = await ended(here, work)

    assert await execution.get_result() == 2
    assert seen[1:] == ["begun", "ended"]


# Events


async def test_events_tell_an_error_only_where_there_is_one(docket: Docket) -> None:
    async def work(fails: bool) -> None:
        if fails:
            raise ValueError("no good")

    async def states(execution: Execution) -> list[Any]:
        told: list[Any] = []
        async for event in execution.subscribe(ready=ready):
            if event["type"] == "state":
                told.append(event)
                if event["state"] in {"completed", "failed"}:
                    break
        return told

    async with Worker(docket) as worker:
        for fails in (False, True):
            ready = asyncio.Event()
            execution = await docket.add(work, soon(0.2))(fails)
            listening = asyncio.create_task(states(execution))
            await ready.wait()
            await worker.run_until_finished()
            first, *others, last = await asyncio.wait_for(listening, 60)

            assert first["error"] is None
            assert not any("error" in event for event in others)
            assert ("error" in last) is fails
            assert last.get("error") == ("ValueError: no good" if fails else None)


# Batches


async def test_a_key_twice_in_a_batch_is_added_once_and_replaced_last(docket: Docket) -> None:
    async def work(number: int) -> None: ...

    when = soon()
    added = await docket.add_many(docket.call(work, when, "key")(number) for number in range(3))
    first = await docket.get_execution("key")
    replaced = await docket.replace_many(
        docket.call(work, when, "key")(number) for number in range(10, 13)
    )
    last = await docket.get_execution("key")

    scheduled, known = Disposition.SCHEDULED, Disposition.ALREADY_SCHEDULED
    assert [one.disposition for one in added] == [scheduled, known, known]
    assert [one.disposition for one in replaced] == [scheduled] * 3
    assert first is not None
    assert last is not None
    assert (first.args, last.args) == ((0,), (12,))


# What is shown


async def test_arguments_are_shown_as_they_were_given(here: Docket) -> None:
    async def work(
        name: Annotated[str, Logged()],
        secret: str,
        count: Annotated[Any, Logged(length_only=True)] = None,
    ) -> None: ...

    def shown(*args: Any, **kwargs: Any) -> str:
        call = here.call(work, key="key")(*args, **kwargs)
        return Execution(
            here, call.function, call.args, call.kwargs, "key", call.when, 1
        ).call_repr()

    assert shown("Jane", "x") == "work('Jane', ...){key}"
    assert shown("Jane", secret="x", count=3) == "work('Jane', secret=..., count=3){key}"
    assert shown("Jane", "x", [1, 2]) == "work('Jane', ..., [len 2]){key}"


async def test_a_moment_of_the_future_comes_back_as_it_was_given(docket: Docket) -> None:
    async def work() -> None: ...

    when = soon().replace(microsecond=123_457)
    execution = await docket.add(work, when)()

    (future,) = (await docket.snapshot()).future
    found = await docket.get_execution(execution.key)
    assert found is not None
    assert future.when == found.when == execution.when == when


# Unknown tasks


async def test_the_fallback_of_pydocket_drops_what_is_unknown(
    here: Docket, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def unknown() -> None: ...

    execution = await here.add(unknown, key="key")()
    async with (
        Docket(name, "memory://compat") as other,
        Worker(other, fallback_task=default_fallback_task) as worker,
    ):
        with caplog.at_level(logging.WARNING):
            await worker.run_until_finished()
    await execution.sync()

    assert execution.state is ExecutionState.COMPLETED
    assert "Unknown task 'unknown' received - dropping" in caplog.text
