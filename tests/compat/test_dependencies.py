"""Dependencies, as programs written for pydocket use them."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import pytest
from typing_extensions import Self
from uncalled_for.functional import _Depends

from docket import (
    CallArgument,
    ConcurrencyLimit,
    Cooldown,
    Cron,
    CurrentDocket,
    CurrentExecution,
    CurrentWorker,
    CycleError,
    Debounce,
    Depends,
    Docket,
    Execution,
    ExecutionState,
    ExponentialRetry,
    Perpetual,
    Progress,
    RateLimit,
    Retry,
    Shared,
    TaskArgument,
    TaskKey,
    TaskLogger,
    Timeout,
    Worker,
    dependencies,
)
from docket.dependencies import (
    AdmissionBlocked,
    CompletionHandler,
    ConcurrencyBlocked,
    Dependency,
    FailedDependency,
    FailureHandler,
    ForcedRetry,
    Runtime,
    TaskOutcome,
    current_docket,
    current_execution,
    current_worker,
    format_duration,
    get_annotation_dependencies,
    get_dependency_parameters,
    get_single_dependency_of_type,
    get_single_dependency_parameter_of_type,
    resolved_dependencies,
)
from tests.compat.conftest import soon, until, working

NOW = timedelta(0)
A_MOMENT = timedelta(milliseconds=30)
A_MINUTE = timedelta(minutes=1)


async def ended(docket: Docket, worker: Worker, task: Any, *args: Any, **kwargs: Any) -> Execution:
    """A call of a task, run to its end."""
    execution = await docket.add(task)(*args, **kwargs)
    await worker.run_until_finished()
    await execution.sync()
    return execution


async def failure_of(execution: Execution) -> BaseException:
    """What a failed execution has raised."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        await execution.get_result(timeout=timedelta(seconds=60))
    return caught.value


async def causes_of(execution: Execution) -> list[BaseException]:
    """What has failed of what an execution depends on."""
    group: Any = await failure_of(execution)
    assert type(group).__name__ == "ExceptionGroup"
    return list(group.exceptions)


# Retry


async def test_a_retry_without_arguments_is_one_attempt(docket: Docket, worker: Worker) -> None:
    runs: list[int] = []

    async def work(retry: Retry = Retry()) -> None:
        runs.append(retry.attempt)
        raise ValueError("no good")

    execution = await ended(docket, worker, work)

    assert (Retry().attempts, Retry().delay) == (1, NOW)
    assert runs == [1]
    assert (execution.state, execution.error) == (ExecutionState.FAILED, "ValueError: no good")


async def test_a_retry_tries_so_often_and_says_which_attempt_it_is(
    docket: Docket, worker: Worker
) -> None:
    runs: list[tuple[int, int]] = []

    async def work(
        retry: Retry = Retry(attempts=3), execution: Execution = CurrentExecution()
    ) -> None:
        runs.append((retry.attempt, execution.attempt))
        if retry.attempt < 3:
            raise ValueError("no good")

    execution = await ended(docket, worker, work)

    assert runs == [(1, 1), (2, 2), (3, 3)]
    assert execution.state is ExecutionState.COMPLETED


async def test_a_retry_waits_for_its_delay(docket: Docket, worker: Worker) -> None:
    starts: list[datetime] = []

    async def work(
        retry: Retry = Retry(attempts=2, delay=timedelta(milliseconds=100)),
        execution: Execution = CurrentExecution(),
    ) -> None:
        assert execution.started_at is not None
        starts.append(execution.started_at)
        raise ValueError("no good")

    await ended(docket, worker, work)

    assert len(starts) == 2
    assert starts[1] - starts[0] >= timedelta(milliseconds=95)


async def test_a_retry_may_go_on_for_ever(docket: Docket, worker: Worker) -> None:
    runs: list[int] = []

    async def work(retry: Retry = Retry.forever(delay=timedelta(milliseconds=1))) -> None:
        runs.append(retry.attempt)
        if retry.attempt < 12:
            raise ValueError("no good")

    execution = await ended(docket, worker, work)

    assert (Retry.forever().attempts, Retry.forever().delay) == (None, NOW)
    assert len(runs) == 12
    assert execution.state is ExecutionState.COMPLETED


@pytest.mark.parametrize("way", ["after", "at", "in_"])
async def test_a_retry_asked_for_by_the_task_comes_when_it_asks_and_still_spends_an_attempt(
    docket: Docket, worker: Worker, way: str
) -> None:
    starts: list[datetime] = []
    pause = timedelta(milliseconds=100)

    async def work(
        retry: Retry = Retry(attempts=2, delay=timedelta(hours=1)),
        execution: Execution = CurrentExecution(),
    ) -> None:
        assert execution.started_at is not None
        starts.append(execution.started_at)
        if way == "at":
            retry.at(execution.started_at + pause)
        getattr(retry, way)(pause)

    execution = await ended(docket, worker, work)

    assert len(starts) == 2
    assert timedelta(milliseconds=95) <= starts[1] - starts[0] < timedelta(minutes=30)
    assert execution.state is ExecutionState.FAILED
    assert isinstance(await failure_of(execution), ForcedRetry)


def test_an_exponential_retry_doubles_its_pauses_up_to_the_longest() -> None:
    retry = ExponentialRetry(
        attempts=9, minimum_delay=timedelta(seconds=1), maximum_delay=timedelta(seconds=10)
    )

    assert [retry.pause(n, None).total_seconds() for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert isinstance(retry, Retry)


def test_an_exponential_retry_has_the_defaults_of_pydocket() -> None:
    retry, forever = ExponentialRetry(), ExponentialRetry.forever()

    assert (retry.attempts, forever.attempts) == (1, None)
    assert retry.minimum_delay == forever.minimum_delay == timedelta(seconds=1)
    assert retry.maximum_delay == forever.maximum_delay == timedelta(seconds=64)


def test_an_exponential_retry_without_end_does_not_overflow() -> None:
    retry = ExponentialRetry.forever(timedelta(seconds=1), timedelta(days=1))

    assert retry.pause(10_000, ValueError()) == timedelta(days=1)


async def test_an_exponential_retry_obeys_a_task_that_asks_for_a_pause(
    docket: Docket, worker: Worker
) -> None:
    runs: list[int] = []

    async def work(
        retry: ExponentialRetry = ExponentialRetry(attempts=2, minimum_delay=timedelta(hours=1)),
    ) -> None:
        runs.append(retry.attempt)
        if retry.attempt == 1:
            retry.after(A_MOMENT)

    await asyncio.wait_for(ended(docket, worker, work), 60)

    assert runs == [1, 2]


async def test_an_exponential_retry_waits_longer_each_time(docket: Docket, worker: Worker) -> None:
    starts: list[datetime] = []

    async def work(
        retry: ExponentialRetry = ExponentialRetry(3, timedelta(milliseconds=60)),
        execution: Execution = CurrentExecution(),
    ) -> None:
        assert execution.started_at is not None
        starts.append(execution.started_at)
        raise ValueError("no good")

    await ended(docket, worker, work)

    assert starts[1] - starts[0] >= timedelta(milliseconds=58)
    assert starts[2] - starts[1] >= timedelta(milliseconds=116)


async def test_a_retry_applies_to_dependencies_that_fail(docket: Docket, worker: Worker) -> None:
    opened: list[int] = []

    def shaky() -> str:
        opened.append(1)
        if len(opened) < 3:
            raise ConnectionRefusedError("not yet")
        return "open"

    async def work(retry: Retry = Retry(attempts=5), line: str = Depends(shaky)) -> str:
        return line

    execution = await ended(docket, worker, work)

    assert await execution.get_result() == "open"
    assert len(opened) == 3


# Perpetual


async def test_a_perpetual_task_runs_again_and_again_with_the_same_key_and_arguments(
    docket: Docket, worker: Worker
) -> None:
    runs: list[tuple[str, int, str]] = []

    async def work(
        number: int, *, text: str, key: str = TaskKey(), perpetual: Perpetual = Perpetual()
    ) -> None:
        runs.append((key, number, text))

    await docket.add(work, key="mine")(3, text="again")
    await worker.run_at_most({"mine": 3})

    assert runs == [("mine", 3, "again")] * 3


async def test_a_perpetual_task_runs_every_so_often_from_start_to_start(
    docket: Docket, worker: Worker
) -> None:
    starts: list[datetime] = []
    due: list[datetime] = []
    lasted: list[timedelta] = []
    every = timedelta(milliseconds=120)

    async def work(
        perpetual: Perpetual = Perpetual(every=every), execution: Execution = CurrentExecution()
    ) -> None:
        assert execution.started_at is not None
        starts.append(execution.started_at)
        due.append(execution.when)
        begun = time.monotonic()
        await asyncio.sleep(0.06)
        lasted.append(timedelta(seconds=time.monotonic() - begun))

    await docket.add(work, key="mine")()
    await worker.run_at_most({"mine": 3})

    pauses = [later - start for start, later in zip(starts, due[1:], strict=False)]
    assert min(pauses) >= timedelta(milliseconds=110)
    # Not the duration on top of it.
    assert any(pause < every + body for pause, body in zip(pauses, lasted, strict=False))


async def test_a_perpetual_task_that_takes_longer_than_its_rhythm_follows_at_once(
    docket: Docket, worker: Worker
) -> None:
    runs: list[int] = []

    async def work(perpetual: Perpetual = Perpetual(every=timedelta(milliseconds=1))) -> None:
        runs.append(1)
        await asyncio.sleep(0.01)

    await docket.add(work, key="mine")()
    await asyncio.wait_for(worker.run_at_most({"mine": 4}), 60)

    assert len(runs) == 4


async def test_a_perpetual_task_is_scheduled_again_after_a_failure(
    docket: Docket, worker: Worker
) -> None:
    runs: list[int] = []

    async def work(perpetual: Perpetual = Perpetual()) -> None:
        runs.append(1)
        raise ValueError("no good")

    await docket.add(work, key="mine")()
    await worker.run_at_most({"mine": 3})

    assert len(runs) == 3


async def test_a_perpetual_task_uses_up_its_attempts_before_its_next_run(
    docket: Docket, worker: Worker
) -> None:
    attempts: list[int] = []

    async def work(perpetual: Perpetual = Perpetual(), retry: Retry = Retry(attempts=2)) -> None:
        attempts.append(retry.attempt)
        raise ValueError("no good")

    await docket.add(work, key="mine")()
    await worker.run_at_most({"mine": 4})

    assert attempts == [1, 2, 1, 2]


async def test_a_perpetual_task_can_cancel_its_next_run(docket: Docket, worker: Worker) -> None:
    runs: list[int] = []

    async def work(perpetual: Perpetual = Perpetual()) -> None:
        runs.append(1)
        if len(runs) == 3:
            perpetual.cancel()

    execution = await ended(docket, worker, work)

    assert len(runs) == 3
    assert execution.state is ExecutionState.COMPLETED


async def test_a_perpetual_task_can_give_its_next_run_other_arguments(
    docket: Docket, worker: Worker
) -> None:
    runs: list[tuple[int, str]] = []

    async def work(number: int, text: str = "", perpetual: Perpetual = Perpetual()) -> None:
        runs.append((number, text))
        perpetual.perpetuate(number + 1, text="x" * number)

    await docket.add(work, key="mine")(1)
    await worker.run_at_most({"mine": 3})

    assert runs == [(1, ""), (2, "x"), (3, "xx")]


async def test_a_perpetual_task_can_say_when_it_runs_next(docket: Docket, worker: Worker) -> None:
    runs: list[datetime] = []
    later = timedelta(milliseconds=150)

    async def work(
        perpetual: Perpetual = Perpetual(every=timedelta(hours=1)),
        execution: Execution = CurrentExecution(),
    ) -> None:
        assert execution.started_at is not None
        runs.append(execution.started_at)
        if len(runs) == 1:
            perpetual.at(execution.started_at + timedelta(hours=9))
            perpetual.after(later)
        elif len(runs) == 2:
            perpetual.after(timedelta(hours=9))
            perpetual.at(execution.started_at + later)
        else:
            perpetual.cancel()

    await asyncio.wait_for(ended(docket, worker, work), 60)

    assert len(runs) == 3
    assert min(runs[1] - runs[0], runs[2] - runs[1]) >= timedelta(milliseconds=145)


async def test_a_perpetual_task_that_is_replaced_while_it_runs_gives_way(
    docket: Docket, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[str] = []
    began, go_on = asyncio.Event(), asyncio.Event()

    async def work(what: str, perpetual: Perpetual = Perpetual()) -> None:
        runs.append(what)
        if what == "old":
            began.set()
            await go_on.wait()
        else:
            perpetual.cancel()

    await docket.add(work, key="mine")("old")
    with caplog.at_level(logging.INFO):
        async with working(worker):
            await began.wait()
            replacement = await docket.replace(work, soon(0), "mine")("new")
            go_on.set()
            await replacement.get_result(timeout=timedelta(seconds=60))

    assert runs == ["old", "new"]
    assert "↬" in caplog.text


async def test_an_automatic_perpetual_task_runs_under_its_own_name_without_being_added(
    docket: Docket, worker: Worker
) -> None:
    keys: list[str] = []

    async def poll(key: str = TaskKey(), perpetual: Perpetual = Perpetual(automatic=True)) -> None:
        keys.append(key)

    docket.register(poll)
    await worker.run_at_most({"poll": 3})

    assert keys == ["poll"] * 3


# Cron


@pytest.mark.parametrize(
    "expression",
    [
        "*/5 * * * *",
        "30 */5 * * * *",
        "0 0 L * *",
        "0 0 LW * *",
        "0 0 * * 5L",
        "0 0 * * 1#2",
        "0 9 * jan-mar MON-FRI",
        "@yearly",
        "@annually",
        "@monthly",
        "@weekly",
        "@daily",
        "@midnight",
        "@hourly",
    ],
)
def test_cron_takes_five_or_six_fields_and_the_names_of_rhythms(expression: str) -> None:
    cron = Cron(expression)

    assert (cron.expression, cron.automatic, cron.tz) == (expression, True, timezone.utc)
    assert cron.initial_when > datetime.now(timezone.utc)
    assert isinstance(cron, Perpetual)


@pytest.mark.parametrize("expression", ["", "* * * *", "61 * * * *", "x * * * *", "@sometimes"])
def test_a_bad_cron_expression_is_a_value_error_at_once(expression: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Cron(expression)


def test_cron_counts_on_the_wall_clock_of_its_time_zone() -> None:
    cron = Cron("0 9 * * *", tz=ZoneInfo("Asia/Tokyo"))

    first, second = cron.next_time(), cron.next_time()

    assert (first.hour, first.utcoffset()) == (9, timedelta(hours=9))
    assert cron.initial_when.astimezone(timezone.utc).hour == 0
    assert second - first == timedelta(days=1)


def test_cron_with_six_fields_has_seconds_first() -> None:
    cron = Cron("*/7 * * * * *")

    assert cron.next_time().second % 7 == 0
    assert cron.next_time() > datetime.now(timezone.utc)


async def test_a_cron_task_runs_at_its_slots(docket: Docket, worker: Worker) -> None:
    slots: list[datetime] = []

    async def work(
        cron: Cron = Cron("* * * * * *"), execution: Execution = CurrentExecution()
    ) -> None:
        slots.append(execution.when)

    docket.register(work)
    await asyncio.wait_for(worker.run_at_most({"work": 3}), 60)

    assert [slot.microsecond for slot in slots] == [0, 0, 0]
    # On a busy machine one may be left out.
    assert min(later - slot for slot, later in pairwise(slots)) == timedelta(seconds=1)


@pytest.mark.thorough
async def test_a_cron_slot_that_passes_while_the_task_runs_follows_at_once_and_others_are_left_out(
    docket: Docket, worker: Worker
) -> None:
    slots: list[datetime] = []
    started: list[datetime] = []
    ended: list[datetime] = []

    async def work(
        cron: Cron = Cron("* * * * * *"), execution: Execution = CurrentExecution()
    ) -> None:
        assert execution.started_at is not None
        slots.append(execution.when)
        started.append(execution.started_at)
        if len(started) == 1:
            await asyncio.sleep(2.1)
        ended.append(datetime.now(timezone.utc))

    docket.register(work)
    await asyncio.wait_for(worker.run_at_most({"work": 3}), 60)

    assert slots[0] < slots[1] <= ended[0]
    # One of the two slots that have passed is made up for, not both.
    assert slots[2] > started[1]


async def test_a_cron_task_that_is_not_automatic_waits_to_be_added(
    docket: Docket, worker: Worker
) -> None:
    runs: list[int] = []

    async def work(cron: Cron = Cron("* * * * * *", automatic=False)) -> None:
        runs.append(1)
        cron.cancel()

    docket.register(work)
    await worker.run_until_finished()
    assert runs == []

    await ended(docket, worker, work)
    assert runs == [1]


async def test_a_cron_task_can_say_when_it_runs_next(docket: Docket, worker: Worker) -> None:
    runs: list[int] = []

    async def work(cron: Cron = Cron("0 0 1 1 *", automatic=False)) -> None:
        runs.append(1)
        cron.after(A_MOMENT) if len(runs) < 3 else cron.cancel()

    await asyncio.wait_for(ended(docket, worker, work), 60)

    assert len(runs) == 3


# Timeout


async def test_a_timeout_ends_a_task_that_takes_too_long(docket: Docket, worker: Worker) -> None:
    async def work(timeout: Timeout = Timeout(A_MOMENT)) -> None:
        await asyncio.Event().wait()

    execution = await ended(docket, worker, work)

    assert execution.state is ExecutionState.FAILED
    assert isinstance(await failure_of(execution), asyncio.TimeoutError)


async def test_a_retry_applies_to_a_timeout(docket: Docket, worker: Worker) -> None:
    runs: list[int] = []

    short = timedelta(milliseconds=300)

    async def work(timeout: Timeout = Timeout(short), retry: Retry = Retry(attempts=3)) -> None:
        runs.append(retry.attempt)
        if retry.attempt < 3:
            await asyncio.Event().wait()

    execution = await ended(docket, worker, work)

    assert runs == [1, 2, 3]
    assert execution.state is ExecutionState.COMPLETED


async def test_a_task_can_look_at_its_timeout_and_extend_it(docket: Docket, worker: Worker) -> None:
    seen: list[timedelta] = []

    async def work(timeout: Timeout = Timeout(timedelta(seconds=100))) -> bool:
        for by in (None, timedelta(seconds=1000)):
            seen.append(timeout.remaining())
            timeout.extend(by) if by else timeout.extend()
        seen.append(timeout.remaining())
        return timeout.expired()

    execution = await ended(docket, worker, work)

    assert await execution.get_result() is False
    assert [round(left.total_seconds(), -2) for left in seen] == [100, 200, 1200]
    assert Timeout(A_MOMENT).base == A_MOMENT


async def test_an_extended_timeout_lets_a_task_take_longer(docket: Docket, worker: Worker) -> None:
    async def work(timeout: Timeout = Timeout(timedelta(milliseconds=300))) -> str:
        timeout.extend(timedelta(seconds=100))
        await asyncio.sleep(0.45)
        return "done"

    execution = await ended(docket, worker, work)

    assert await execution.get_result() == "done"


async def test_a_timeout_can_start_again(docket: Docket, worker: Worker) -> None:
    async def work(timeout: Timeout = Timeout(timedelta(seconds=1))) -> str:
        for _ in range(4):
            await asyncio.sleep(0.3)
            timeout.start()
        return "done"

    assert await (await ended(docket, worker, work)).get_result() == "done"


# Limits


async def test_a_concurrency_limit_in_an_annotation_is_for_each_argument(
    docket: Docket, worker: Worker
) -> None:
    running: dict[int, int] = {}
    together: list[int] = []

    async def work(customer: Annotated[int, ConcurrencyLimit(1)]) -> None:
        running[customer] = running.get(customer, 0) + 1
        assert running[customer] == 1
        await asyncio.sleep(0.01)
        together.append(sum(running.values()))
        running[customer] -= 1

    executions = [await docket.add(work)(number % 3) for number in range(12)]
    await worker.run_until_finished()
    for execution in executions:
        await execution.sync()

    assert {execution.state for execution in executions} == {ExecutionState.COMPLETED}
    assert max(together) > 1


async def test_a_concurrency_limit_names_an_argument_positional_or_not(
    docket: Docket, worker: Worker
) -> None:
    keys: list[str] = []
    most: list[int] = []
    running = 0

    async def work(
        customer: int,
        limit: ConcurrencyLimit = ConcurrencyLimit("customer", max_concurrent=2, scope="shop"),
    ) -> None:
        nonlocal running
        running += 1
        most.append(running)
        keys.append(limit.concurrency_key)
        await asyncio.sleep(0.01)
        running -= 1

    for _ in range(3):
        await docket.add(work)(7)
        await docket.add(work)(customer=7)
    await worker.run_until_finished()

    assert (len(keys), len(set(keys)), max(most)) == (6, 1, 2)
    assert "shop" in keys[0]
    assert "customer" in keys[0]


async def test_a_concurrency_limit_without_an_argument_is_for_the_task(
    docket: Docket, worker: Worker
) -> None:
    running, most = 0, 0

    async def work(
        number: int, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=2)
    ) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    for number in range(8):
        await docket.add(work)(number)
    await worker.run_until_finished()

    assert most == 2


async def test_a_concurrency_limit_on_an_unknown_argument_fails_the_task(
    docket: Docket, worker: Worker
) -> None:
    async def work(a: int, b: int, limit: ConcurrencyLimit = ConcurrencyLimit("c")) -> None: ...

    (error,) = await causes_of(await ended(docket, worker, work, 1, b=2))

    assert isinstance(error, ValueError)
    assert str(error) == (
        "ConcurrencyLimit argument 'c' not found in task arguments. Available: ['a', 'b']"
    )


def test_a_concurrency_key_is_not_known_before_a_task_runs() -> None:
    with pytest.raises(RuntimeError, match="not initialized"):
        _ = ConcurrencyLimit("customer").concurrency_key


def test_a_concurrency_limit_has_the_arguments_of_pydocket() -> None:
    limit, annotated, named = (
        ConcurrencyLimit("a"),
        ConcurrencyLimit(3),
        ConcurrencyLimit("a", 2, "s"),
    )

    assert (limit.argument_name, limit.max_concurrent, limit.scope) == ("a", 1, None)
    assert (annotated.argument_name, annotated.max_concurrent) == (None, 3)
    assert (named.argument_name, named.max_concurrent, named.scope) == ("a", 2, "s")
    assert ConcurrencyLimit(max_concurrent=4).max_concurrent == 4


async def test_those_who_wait_for_a_slot_are_scheduled_and_hold_no_slot_of_the_worker(
    docket: Docket,
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def work(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        began.set()
        await go_on.wait()

    async def other() -> str:
        return "done"

    async with Worker(docket, concurrency=2) as worker, working(worker):
        await docket.add(work)()
        await began.wait()
        waiting = [await docket.add(work)() for _ in range(5)]
        assert await (await docket.add(other)()).get_result(timeout=timedelta(seconds=60)) == "done"

        async def all_wait() -> bool:
            for execution in waiting:
                await execution.sync()
            return {execution.state for execution in waiting} == {ExecutionState.SCHEDULED}

        await until(all_wait)
        go_on.set()
        for execution in waiting:
            await execution.get_result(timeout=timedelta(seconds=60))


async def test_a_cooldown_drops_calls_within_its_window(docket: Docket, worker: Worker) -> None:
    runs: list[int] = []

    async def work(number: int, cooldown: Cooldown = Cooldown(timedelta(minutes=1))) -> None:
        runs.append(number)

    executions = [await docket.add(work)(number) for number in range(4)]
    await worker.run_until_finished()
    for execution in executions:
        await execution.sync()

    assert len(runs) == 1
    assert [execution.state for execution in executions].count(ExecutionState.CANCELLED) == 3


async def test_a_cooldown_is_over_after_its_window(docket: Docket, worker: Worker) -> None:
    runs: list[int] = []

    async def work(cooldown: Cooldown = Cooldown(timedelta(milliseconds=50))) -> None:
        runs.append(1)

    await ended(docket, worker, work)
    await asyncio.sleep(0.06)
    await ended(docket, worker, work)

    assert len(runs) == 2


@pytest.mark.parametrize(
    "gate",
    [
        Cooldown(timedelta(minutes=1)),
        Debounce(timedelta(milliseconds=600)),
        RateLimit(1, per=timedelta(minutes=1), drop=True),
    ],
    ids=["Cooldown", "Debounce", "RateLimit"],
)
async def test_a_gate_in_an_annotation_is_for_each_argument_positional_or_not(
    docket: Docket, worker: Worker, gate: Any
) -> None:
    runs: list[int] = []

    async def work(customer: int, text: str = "") -> None:
        runs.append(customer)

    work.__annotations__["customer"] = Annotated[int, gate]
    for customer in (1, 2):
        await docket.add(work)(customer)
        await docket.add(work)(customer=customer)
        await docket.add(work)(customer, "again")
    await worker.run_until_finished()

    assert sorted(runs) == [1, 2]


async def test_gates_of_one_scope_are_set_apart_from_those_of_others(
    docket: Docket, worker: Worker
) -> None:
    runs: list[str] = []

    async def one(customer: Annotated[int, Cooldown(A_MINUTE, scope="a")]) -> None:
        runs.append("one")

    async def two(customer: Annotated[int, Cooldown(A_MINUTE, scope="a")]) -> None:
        runs.append("two")

    async def three(customer: Annotated[int, Cooldown(A_MINUTE, scope="b")]) -> None:
        runs.append("three")

    for task in (one, two, three):
        await ended(docket, worker, task, 1)

    assert runs == ["one", "three"]


async def test_a_debounce_runs_one_of_many_calls_when_they_have_settled(
    docket: Docket, worker: Worker
) -> None:
    runs: list[datetime] = []
    settle = timedelta(milliseconds=1500)  # much longer than a busy machine takes for one more call

    async def work(
        debounce: Debounce = Debounce(settle), execution: Execution = CurrentExecution()
    ) -> None:
        assert execution.started_at is not None
        runs.append(execution.started_at)

    async with working(worker):
        last = datetime.now(timezone.utc)
        for _ in range(4):
            last = datetime.now(timezone.utc)
            await docket.add(work)()
            await asyncio.sleep(0.05)
        await until(lambda: _true(bool(runs)))

    assert len(runs) == 1
    assert runs[0] - last >= settle - timedelta(milliseconds=20)


async def _true(value: bool) -> bool:
    return value


async def test_a_rate_limit_delays_what_is_too_much(docket: Docket, worker: Worker) -> None:
    starts: list[datetime] = []

    async def work(
        rate: RateLimit = RateLimit(2, per=timedelta(milliseconds=200)),
        execution: Execution = CurrentExecution(),
    ) -> None:
        assert execution.started_at is not None
        starts.append(execution.started_at)

    for _ in range(6):
        await docket.add(work)()
    await worker.run_until_finished()

    starts.sort()
    assert len(starts) == 6
    assert min(starts[n + 2] - starts[n] for n in range(4)) >= timedelta(milliseconds=190)


async def test_a_rate_limit_drops_what_is_too_much_if_told_to(
    docket: Docket, worker: Worker
) -> None:
    runs: list[int] = []

    async def work(rate: RateLimit = RateLimit(2, per=timedelta(minutes=1), drop=True)) -> None:
        runs.append(1)

    executions = [await docket.add(work)() for _ in range(5)]
    await worker.run_until_finished()
    for execution in executions:
        await execution.sync()

    assert len(runs) == 2
    assert [execution.state for execution in executions].count(ExecutionState.CANCELLED) == 3


async def test_what_a_later_gate_blocks_is_not_counted_by_the_earlier_ones(
    docket: Docket, worker: Worker
) -> None:
    runs: list[int] = []
    is_open = False
    window = timedelta(minutes=1)

    class Gate(Dependency["Gate"]):
        async def __aenter__(self) -> Self:
            if not is_open:
                raise AdmissionBlocked(current_execution.get(), "gate", reschedule=False)
            return self

    async def work(
        number: int,
        cooldown: Cooldown = Cooldown(window),
        rate: RateLimit = RateLimit(1, per=window, drop=True),
        limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1),
        gate: Gate = Gate(),
    ) -> None:
        runs.append(number)

    await ended(docket, worker, work, 1)
    is_open = True
    await ended(docket, worker, work, 2)

    assert runs == [2]


async def test_retries_of_what_has_started_pass_a_cooldown_and_a_debounce(
    docket: Docket, worker: Worker
) -> None:
    attempts: list[int] = []

    async def work(
        cooldown: Cooldown = Cooldown(timedelta(minutes=1)),
        debounce: Debounce = Debounce(A_MOMENT),
        retry: Retry = Retry(attempts=3),
    ) -> None:
        attempts.append(retry.attempt)
        raise ValueError("no good")

    await ended(docket, worker, work)

    assert attempts == [1, 2, 3]


def test_an_admission_that_is_blocked_says_by_what() -> None:
    execution: Any = type("Known", (), {"key": "mine"})()
    block = AdmissionBlocked(execution, "a gate")
    limit = ConcurrencyBlocked(execution, "slot", 3)

    assert str(block) == "Task mine blocked by a gate"
    assert AdmissionBlocked(execution).reason == "admission control"
    assert (block.handled, block.reschedule, block.retry_delay) == (False, True, None)
    assert isinstance(limit, AdmissionBlocked)
    assert (limit.concurrency_key, limit.max_concurrent, limit.handled) == ("slot", 3, True)
    assert limit.reason == "concurrency limit (3 max) on slot"


# Depends, Shared and arguments


async def test_depends_takes_functions_and_context_managers_of_both_kinds_and_cleans_up_in_reverse(
    docket: Docket, worker: Worker
) -> None:
    steps: list[str] = []

    def plain() -> str:
        return "plain"

    async def awaited() -> str:
        return "awaited"

    @contextmanager
    def opened() -> Generator[str]:
        steps.append("opened")
        yield "context"
        steps.append("closed")

    @asynccontextmanager
    async def connected() -> AsyncGenerator[str, None]:
        steps.append("connected")
        yield "async context"
        steps.append("disconnected")

    async def work(
        a: str = Depends(plain),
        b: str = Depends(awaited),
        c: str = Depends(opened),
        d: str = Depends(connected),
    ) -> list[str]:
        steps.append("runs")
        return [a, b, c, d]

    execution = await ended(docket, worker, work)

    assert await execution.get_result() == ["plain", "awaited", "context", "async context"]
    assert steps == ["opened", "connected", "runs", "disconnected", "closed"]


async def test_depends_is_cached_for_one_task_and_anew_for_the_next(
    docket: Docket, worker: Worker
) -> None:
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    async def inner(value: int = Depends(make)) -> int:
        return value

    async def work(
        a: int = Depends(make), b: int = Depends(inner), c: int = Depends(make)
    ) -> list[int]:
        return [a, b, c]

    first = await ended(docket, worker, work)
    second = await ended(docket, worker, work)

    assert await first.get_result() == [0, 0, 0]
    assert await second.get_result() == [1, 1, 1]


async def test_depends_takes_bindings(docket: Docket, worker: Worker) -> None:
    made: list[str] = []

    def greet(name: str, mark: str = "!") -> str:
        made.append(name)
        return f"Hello, {name}{mark}"

    async def work(
        who: str,
        a: str = Depends(greet, name=CallArgument("who")),
        b: str = Depends(greet, name="John", mark="?"),
        c: str = Depends(greet, name="John", mark="?"),
    ) -> list[str]:
        return [a, b, c]

    execution = await ended(docket, worker, work, "Jane")

    assert await execution.get_result() == ["Hello, Jane!", "Hello, John?", "Hello, John?"]
    assert made == ["Jane", "John"]


async def test_an_argument_that_is_given_goes_before_the_dependency(
    docket: Docket, worker: Worker
) -> None:
    made: list[int] = []

    async def work(value: Any = Depends(lambda: made.append(1))) -> str:
        return value

    execution = await ended(docket, worker, work, value="given")

    assert await execution.get_result() == "given"
    assert made == []


async def test_failed_dependencies_are_told_together(docket: Docket, worker: Worker) -> None:
    ran: list[str] = []

    def one() -> None:
        raise ValueError("one")

    async def two() -> None:
        raise KeyError("two")

    async def work(
        a: None = Depends(one), b: None = Depends(lambda: ran.append("b")), c: None = Depends(two)
    ) -> None:
        ran.append("work")

    execution = await ended(docket, worker, work)
    error: Any = await failure_of(execution)

    assert error.message == "Failed to resolve dependencies for parameter(s): a, c"
    assert [type(cause) for cause in error.exceptions] == [ValueError, KeyError]
    assert ran == ["b"]


async def test_a_dependency_that_swallows_an_error_does_not_make_the_task_succeed(
    docket: Docket, worker: Worker
) -> None:
    swallowed: list[str] = []

    @contextmanager
    def swallow() -> Generator[None]:
        try:
            yield
        except Exception as error:
            swallowed.append(type(error).__name__)

    def broken() -> None:
        raise ValueError("no good")

    async def body(swallow: None = Depends(swallow)) -> None:
        raise ValueError("no good")

    async def unresolved(swallow: None = Depends(swallow), value: None = Depends(broken)) -> None:
        swallowed.append("ran")

    states = [(await ended(docket, worker, task)).state for task in (body, unresolved)]

    assert states == [ExecutionState.FAILED, ExecutionState.FAILED]
    assert swallowed == ["ValueError", "ExceptionGroup"]


async def test_a_cleanup_that_fails_fails_the_task(docket: Docket, worker: Worker) -> None:
    @asynccontextmanager
    async def leaky() -> AsyncGenerator[int, None]:
        yield 1
        raise OSError("could not close")

    async def work(value: int = Depends(leaky)) -> str:
        return "done"

    execution = await ended(docket, worker, work)

    assert (execution.state, execution.error) == (ExecutionState.FAILED, "OSError: could not close")


async def test_shared_is_made_once_per_worker_and_undone_when_it_ends(
    docket: Docket, worker: Worker
) -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def pool() -> AsyncGenerator[object, None]:
        steps.append("opened")
        yield object()
        steps.append("closed")

    seen: set[int] = set()

    async def one(pool: object = Shared(pool)) -> None:
        seen.add(id(pool))

    async def two(pool: object = Shared(pool)) -> None:
        seen.add(id(pool))

    async with Worker(docket) as other:
        for task in (one, two):
            await docket.add_many([docket.call(task)() for _ in range(5)])
        await other.run_until_finished()
        await ended(docket, other, one)
        assert steps == ["opened"]
        assert len(seen) == 1
    assert steps == ["opened", "closed"]

    await ended(docket, worker, two)
    assert steps == ["opened", "closed", "opened"]


async def test_call_argument_is_what_the_task_gets(docket: Docket, worker: Worker) -> None:
    def double(number: int = CallArgument()) -> int:
        return 2 * number

    def sum_of(
        a: int = CallArgument("doubled"), b: Any = CallArgument("none", optional=True)
    ) -> Any:
        return [a, b]

    async def work(
        number: int = 4,
        doubled: int = Depends(double),
        added: Any = Depends(sum_of),
    ) -> Any:
        return [doubled, added]

    assert await (await ended(docket, worker, work, 3)).get_result() == [6, [6, None]]
    assert await (await ended(docket, worker, work)).get_result() == [8, [8, None]]


async def test_task_argument_is_only_what_the_caller_gave(docket: Docket, worker: Worker) -> None:
    def double(number: int = TaskArgument()) -> int:
        return 2 * number

    async def work(
        number: int = 4,
        doubled: int = Depends(double),
        same: int = TaskArgument("number"),
        missing: Any = TaskArgument("nothing", optional=True),
    ) -> Any:
        return [doubled, same, missing]

    assert await (await ended(docket, worker, work, 3)).get_result() == [6, 3, None]
    causes = await causes_of(await ended(docket, worker, work))
    assert [type(cause) for cause in causes] == [KeyError, KeyError]


async def test_a_bare_task_argument_at_the_top_names_no_parameter(
    docket: Docket, worker: Worker
) -> None:
    async def work(number: int = TaskArgument()) -> None: ...

    (error,) = await causes_of(await ended(docket, worker, work))

    assert isinstance(error, ValueError)
    assert str(error) == "No parameter name specified"


async def test_parameters_in_a_circle_fail_only_where_nobody_gives_one(
    docket: Docket, worker: Worker
) -> None:
    def from_b(b: int = CallArgument()) -> int:
        return b

    def from_a(a: int = CallArgument()) -> int:
        return a

    async def work(a: int = Depends(from_b), b: int = Depends(from_a)) -> tuple[int, int]:
        return a, b

    given, nothing = await docket.add(work)(a=7), await docket.add(work)()
    await worker.run_until_finished()

    assert await given.get_result() == (7, 7)
    for error in await causes_of(nothing):
        assert isinstance(error, CycleError)
        assert "a -> b -> a" in str(error)


def test_two_of_a_kind_are_refused_when_a_task_is_registered() -> None:
    async def one(a: Retry = Retry(), b: Retry = Retry()) -> None: ...

    async def two(a: Retry = Retry(), b: ExponentialRetry = ExponentialRetry()) -> None: ...

    async def three(a: Perpetual = Perpetual(), b: Cron = Cron("@daily")) -> None: ...

    for task in (one, two, three):
        with pytest.raises(ValueError, match="Only one"):
            Docket("compat-kinds", "memory://compat").register(task)


# What a task may ask


async def test_a_task_may_ask_where_it_runs(docket: Docket, worker: Worker) -> None:
    seen: list[Any] = []

    async def work(
        key: str = TaskKey(),
        its_docket: Docket = CurrentDocket(),
        its_worker: Worker = CurrentWorker(),
        execution: Execution = CurrentExecution(),
    ) -> None:
        seen.extend([key, its_docket, its_worker, execution.key, execution.function_name])
        seen.extend(
            [current_docket.get(), current_worker.get(), current_execution.get() is execution]
        )
        assert execution.state is ExecutionState.RUNNING
        assert execution.worker == its_worker.name
        assert execution.fence is not None

    await docket.add(work, key="mine")()
    await worker.run_until_finished()

    assert seen == ["mine", docket, worker, "mine", "work", docket, worker, True]


async def test_the_logger_of_a_task_names_it(
    docket: Docket, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Any] = []

    async def work(log: logging.LoggerAdapter[logging.Logger] = TaskLogger()) -> None:
        seen.append(log)
        log.info("at work")

    with caplog.at_level(logging.INFO):
        await docket.add(work, key="mine")()
        await worker.run_until_finished()

    assert isinstance(seen[0], logging.LoggerAdapter)
    (record,) = [record for record in caplog.records if record.message == "at work"]
    assert record.name == "docket.task.work"
    assert record.__dict__["docket.key"] == "mine"
    assert record.__dict__["docket.worker"] == worker.name


async def test_the_progress_of_a_task_is_seen_by_others(docket: Docket, worker: Worker) -> None:
    seen: list[Any] = []

    async def work(progress: Progress = Progress()) -> None:
        seen.extend([progress.current, progress.total, progress.message])
        await progress.set_total(10)
        await progress.increment()
        await progress.increment(4)
        await progress.set_message("half")
        seen.extend([progress.current, progress.total, progress.message])
        with pytest.raises(ValueError, match="Total must be at least 1"):
            await progress.set_total(0)
        with pytest.raises(ValueError, match="Amount must be at least 1"):
            await progress.increment(0)

    execution = await ended(docket, worker, work)

    assert execution.state is ExecutionState.COMPLETED
    assert seen[3:] == [5, 10, "half"]
    assert seen[0] is None
    assert seen[2] is None
    assert (execution.progress.current, execution.progress.total) == (5, 10)


# Extension points


class Doubled(Runtime["Doubled"]):
    """Calls a task twice and adds the results."""

    async def __aenter__(self) -> Self:
        return self

    async def run(
        self,
        execution: Execution,
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        return await function(*args, **kwargs) + await function(*args, **kwargs)


async def test_a_runtime_of_ones_own_calls_the_task(docket: Docket, worker: Worker) -> None:
    async def work(number: int, doubled: Doubled = Doubled()) -> int:
        return number

    assert await (await ended(docket, worker, work, 21)).get_result() == 42


class Again(FailureHandler["Again"]):
    """Arranges another attempt in one of the ways that programs know."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.outcomes: list[TaskOutcome] = []

    async def __aenter__(self) -> Self:
        return self

    async def handle_failure(self, execution: Execution, outcome: TaskOutcome) -> bool:
        self.outcomes.append(outcome)
        if execution.attempt > 2 or len(self.outcomes) > 2:
            return False
        now = datetime.now(timezone.utc)
        if self.way == "schedule":
            execution.when = now
            execution.attempt += 1
            await execution.schedule(replace=True)
        else:
            its_docket = current_docket.get()
            await its_docket.replace(execution.function, now, execution.key)(
                *execution.args, **execution.kwargs
            )
        return True


@pytest.mark.parametrize("way", ["schedule", "replace"])
async def test_a_failure_handler_of_ones_own_may_schedule_the_execution_itself(
    docket: Docket, worker: Worker, way: str
) -> None:
    again = Again(way)
    runs: list[tuple[int, int]] = []

    async def work(
        number: int, handler: Again = again, execution: Execution = CurrentExecution()
    ) -> None:
        runs.append((number, execution.attempt))
        raise ValueError("no good")

    execution = await ended(docket, worker, work, 7)

    attempts = [1, 2, 3] if way == "schedule" else [1, 1, 1]
    assert runs == [(7, attempt) for attempt in attempts]
    assert (execution.state, execution.error) == (ExecutionState.FAILED, "ValueError: no good")
    assert {type(outcome.exception) for outcome in again.outcomes} == {ValueError}
    assert all(outcome.duration >= NOW for outcome in again.outcomes)


class Following(CompletionHandler["Following"]):
    """Arranges another run in one of the ways that programs know."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.outcomes: list[TaskOutcome] = []

    async def __aenter__(self) -> Self:
        return self

    async def on_complete(self, execution: Execution, outcome: TaskOutcome) -> bool:
        self.outcomes.append(outcome)
        if len(self.outcomes) > 2:
            return False
        now = datetime.now(timezone.utc)
        if self.way == "schedule":
            execution.when = now
            await execution.schedule(replace=True)
        else:
            await current_docket.get().replace(execution.function, now, execution.key)(
                *execution.args, **execution.kwargs
            )
        return True


@pytest.mark.parametrize("way", ["schedule", "replace"])
async def test_a_completion_handler_of_ones_own_may_schedule_the_execution_itself(
    docket: Docket, worker: Worker, way: str
) -> None:
    following = Following(way)
    runs: list[int] = []

    async def work(number: int, handler: Following = following) -> int:
        runs.append(number)
        if len(runs) == 2:
            raise ValueError("no good")
        return number

    execution = await ended(docket, worker, work, 7)

    assert runs == [7, 7, 7]
    assert execution.state is ExecutionState.COMPLETED
    assert [outcome.result for outcome in following.outcomes] == [7, None, 7]
    assert [type(outcome.exception) for outcome in following.outcomes] == [
        type(None),
        ValueError,
        type(None),
    ]


@pytest.mark.parametrize("reschedule", [True, False])
async def test_a_gate_of_ones_own_drops_or_reschedules(
    docket: Docket, worker: Worker, reschedule: bool
) -> None:
    looks: list[int] = []

    class Gate(Dependency["Gate"]):
        async def __aenter__(self) -> Self:
            looks.append(current_execution.get().attempt)
            if len(looks) < 3:
                raise AdmissionBlocked(
                    current_execution.get(), "gate", reschedule=reschedule, retry_delay=A_MOMENT
                )
            return self

    async def work(retry: Retry = Retry(attempts=2), gate: Gate = Gate()) -> str:
        return "done"

    execution = await ended(docket, worker, work)

    if reschedule:
        assert looks == [1, 1, 1]  # no attempt was spent
        assert execution.state is ExecutionState.COMPLETED
    else:
        assert looks == [1]
        assert execution.state is ExecutionState.CANCELLED


async def test_a_gate_of_ones_own_may_have_seen_to_the_future_itself(
    docket: Docket, worker: Worker
) -> None:
    looks: list[int] = []

    class Gate(Dependency["Gate"]):
        async def __aenter__(self) -> Self:
            looks.append(1)
            execution = current_execution.get()
            if len(looks) == 1:
                execution.when = datetime.now(timezone.utc) + A_MOMENT
                await execution.schedule(replace=True)
                raise AdmissionBlocked(execution, "gate", handled=True)
            return self

    async def work(gate: Gate = Gate()) -> str:
        return "done"

    execution = await ended(docket, worker, work)

    assert await execution.get_result() == "done"
    assert len(looks) == 2


async def test_a_dependency_of_ones_own_is_told_of_the_parameter_that_it_stands_at(
    docket: Docket, worker: Worker
) -> None:
    told: list[tuple[str, Any]] = []
    steps: list[str] = []

    class Traced(Dependency["Traced"]):
        def bind_to_parameter(self, name: str, value: Any) -> Traced:
            told.append((name, value))
            return self

        async def __aenter__(self) -> Self:
            steps.append("entered")
            return self

        async def __aexit__(self, *_: object) -> None:
            steps.append("left")

    async def work(a: int, b: int = 5) -> None:
        steps.append("runs")

    work.__annotations__["a"] = Annotated[int, Traced]
    work.__annotations__["b"] = Annotated[int, Traced()]
    await ended(docket, worker, work, 3)

    assert told == [("a", 3), ("b", None)]
    assert steps == ["entered", "entered", "runs", "left", "left"]


async def test_a_kind_of_dependency_lives_as_long_as_a_worker_runs(
    docket: Docket, worker: Worker
) -> None:
    steps: list[str] = []

    class Living(Dependency["Living"]):
        @classmethod
        @asynccontextmanager
        async def worker_lifecycle(
            cls, docket: Docket, worker: Worker
        ) -> AsyncGenerator[None, None]:
            steps.append(f"{cls.__name__} begins on {worker.docket.name}")
            yield
            steps.append(f"{cls.__name__} ends on {docket.name}")

        async def __aenter__(self) -> Self:
            return self

    class Derived(Living): ...

    async def work(a: Living = Living(), b: Living = Living(), c: Derived = Derived()) -> None:
        steps.append("runs")

    await ended(docket, worker, work)

    name = docket.name
    assert steps == [
        f"Living begins on {name}",
        f"Derived begins on {name}",
        "runs",
        f"Derived ends on {name}",
        f"Living ends on {name}",
    ]


async def test_resolved_dependencies_gives_values_and_failures_by_parameter(
    docket: Docket, worker: Worker
) -> None:
    closed: list[str] = []

    @contextmanager
    def opened() -> Generator[str]:
        yield "open"
        closed.append("closed")

    def broken() -> None:
        raise ValueError("no good")

    async def work(
        number: int, line: str = Depends(opened), bad: None = Depends(broken)
    ) -> None: ...

    execution = await docket.add(work, when=soon())(3)
    async with resolved_dependencies(worker, execution) as resolved:
        assert resolved["line"] == "open"
        assert isinstance(resolved["bad"], FailedDependency)
        assert resolved["bad"].parameter == "bad"
        assert current_execution.get() is execution
    assert closed == ["closed"]

    with pytest.raises(RuntimeError, match="within"):
        async with resolved_dependencies(worker, execution):
            raise RuntimeError("within")


def test_dependencies_of_a_function_can_be_looked_up() -> None:
    retry = ExponentialRetry()

    async def work(a: Annotated[int, Cooldown(NOW)], b: Retry = retry, c: int = 3) -> None: ...

    work.__annotations__["a"] = Annotated[int, (cooldown := Cooldown(NOW))]
    assert get_dependency_parameters(work) == {"b": retry}
    assert get_annotation_dependencies(work) == {"a": [cooldown]}
    assert get_single_dependency_parameter_of_type(work, Retry) is retry
    assert get_single_dependency_parameter_of_type(work, FailureHandler) is retry
    assert get_single_dependency_parameter_of_type(work, Perpetual) is None
    assert get_single_dependency_of_type({"x": retry}, Retry) is retry
    assert get_single_dependency_of_type({"x": retry}, Timeout) is None
    for look in (
        lambda: get_single_dependency_parameter_of_type(work, Cooldown),
        lambda: get_single_dependency_of_type({}, Cooldown),
    ):
        with pytest.raises(AssertionError, match="single"):
            look()


def test_durations_have_a_column_in_logs() -> None:
    assert [format_duration(seconds) for seconds in (0.0123, 99.9, 100)] == [
        "    12ms",
        " 99900ms",
        "   100s ",
    ]


def test_single_kinds_say_so() -> None:
    single = [ConcurrencyLimit, Debounce, Retry, Perpetual, Timeout]

    assert all(kind.single for kind in single)
    assert not any(kind.single for kind in (Cooldown, RateLimit, Progress))


def test_the_names_that_programs_import_are_there() -> None:
    names = """
        AdmissionBlocked CallArgument CompletionHandler ConcurrencyBlocked ConcurrencyLimit
        Cooldown Cron CurrentDocket CurrentExecution CurrentWorker CycleError Debounce
        Dependency DependencyFunction Depends ExponentialRetry FailedDependency FailureHandler
        ForcedRetry Perpetual Progress RateLimit Retry Runtime Shared SharedContext TaskArgument
        TaskKey TaskLogger TaskOutcome Timeout _Depends _parameter_cache current_docket
        current_execution current_worker format_duration get_annotation_dependencies
        get_dependency_parameters get_single_dependency_of_type
        get_single_dependency_parameter_of_type resolved_dependencies validate_dependencies
    """

    assert set(names.split()) <= set(dependencies.__all__)
    assert dependencies._Depends is _Depends
    # What frameworks of older days look for on the class.
    known: Any = Dependency
    assert (known.docket, known.worker, known.execution) == (
        current_docket,
        current_worker,
        current_execution,
    )


@pytest.mark.parametrize(
    ("function", "signature"),
    [
        (Retry, "(attempts, delay)"),
        (ExponentialRetry, "(attempts, minimum_delay, maximum_delay)"),
        (Perpetual, "(every, automatic)"),
        (Cron, "(expression, automatic, tz)"),
        (Timeout, "(base)"),
        (ConcurrencyLimit, "(argument_name, max_concurrent, scope)"),
        (Cooldown, "(window, *, scope)"),
        (Debounce, "(settle, *, scope)"),
        (RateLimit, "(limit, *, per, drop, scope)"),
        (AdmissionBlocked, "(execution, reason, *, handled, reschedule, retry_delay)"),
        (ConcurrencyBlocked, "(execution, concurrency_key, max_concurrent)"),
        (TaskArgument, "(parameter, optional)"),
        # The newest uncalled-for that runs on Python 3.10 knows no default.
        (
            CallArgument,
            "(parameter, optional, *, default)"
            if sys.version_info >= (3, 11)
            else "(parameter, optional)",
        ),
        (Retry.forever, "(delay)"),
        (ExponentialRetry.forever, "(delay, maximum_delay)"),
        (TaskOutcome, "(duration, result, exception)"),
        (resolved_dependencies, "(worker, execution)"),
        (get_single_dependency_of_type, "(dependencies, dependency_type)"),
        (get_single_dependency_parameter_of_type, "(function, dependency_type)"),
    ],
)
def test_arguments_have_the_names_and_the_order_of_pydocket(function: Any, signature: str) -> None:
    mine = inspect.signature(function).parameters.values()
    wanted = [name.strip() for name in signature.strip("()").split(",")]
    positional = wanted[: wanted.index("*")] if "*" in wanted else wanted

    assert [one.name for one in mine if one.kind is one.POSITIONAL_OR_KEYWORD] == positional
    assert {name for name in wanted if name != "*"} <= {one.name for one in mine}
