"""An execution, as programs written for pydocket use it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, cast

import pytest
from key_value.aio.stores.memory import MemoryStore

import docket.execution
from docket import (
    CurrentExecution,
    Disposition,
    Docket,
    Execution,
    ExecutionCancelled,
    ExecutionState,
    Logged,
    Perpetual,
    Progress,
    Retry,
    Worker,
)
from docket.execution import ExecutionProgress, compact_signature, get_signature
from docket.strikelist import Operator, Strike, StrikeList
from tests.compat.conftest import soon, until, working


async def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}"


class Refused(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


async def refuse() -> None:
    raise Refused(42)


async def nothing() -> None: ...


def made(docket: Docket, function: Any = greet, *args: Any, **kwargs: Any) -> Execution:
    return Execution(docket, function, args, kwargs, "key", soon(-1), 1)


def test_the_states_have_the_values_of_pydocket() -> None:
    values = {state.value for state in ExecutionState}

    assert {"scheduled", "queued", "running", "completed", "failed", "cancelled"} <= values


def test_the_dispositions_have_the_values_of_pydocket() -> None:
    ours = {"already_done"}

    assert [one.value for one in Disposition if one.value not in ours] == [
        "loaded",
        "scheduled",
        "already_scheduled",
        "struck",
        "superseded",
        "failed",
    ]


def test_what_identifies_it_can_not_be_changed() -> None:
    execution = made(Docket("compat-made", "memory://compat"), greet, "Jane")

    for attribute in (
        *("docket", "function", "function_name", "args", "kwargs", "key", "trace_context"),
        *("redelivered", "generation"),
    ):
        with pytest.raises(AttributeError):
            setattr(execution, attribute, None)
    assert execution.args == ("Jane",)
    assert (execution.redelivered, execution.generation, execution.trace_context) == (
        False,
        0,
        None,
    )


def test_what_becomes_of_it_can_be_changed() -> None:
    execution = made(Docket("compat-made", "memory://compat"), greet, "Jane")

    for attribute in (
        *("when", "attempt", "state", "worker", "started_at", "completed_at", "error"),
        *("result_key", "disposition", "schedule_exception", "message_id"),
    ):
        setattr(execution, attribute, None)
        assert getattr(execution, attribute) is None
    assert isinstance(execution.progress, ExecutionProgress)


async def test_a_timeout_and_a_deadline_together_are_refused(docket: Docket) -> None:
    execution = await docket.add(nothing)()

    with pytest.raises(ValueError, match="Cannot specify both timeout and deadline"):
        await execution.get_result(timeout=timedelta(1), deadline=soon())


@pytest.mark.parametrize(
    "limit",
    [
        {"timeout": timedelta(milliseconds=20)},
        {"timeout": timedelta()},
        {"timeout": timedelta(seconds=-1)},
        {"deadline": datetime(2000, 1, 1, tzinfo=timezone.utc)},
    ],
    ids=str,
)
async def test_a_limit_that_is_over_is_a_timeout_error(
    docket: Docket, limit: dict[str, Any]
) -> None:
    execution = await docket.add(nothing, soon())()

    with pytest.raises(
        TimeoutError, match=f"Timeout waiting for execution {execution.key} to complete"
    ):
        await execution.get_result(**limit)


async def test_a_finished_one_gives_its_result_to_those_who_do_not_wait(
    docket: Docket, worker: Worker
) -> None:
    execution = await docket.add(greet)("Jane")
    await worker.run_until_finished()

    assert await execution.get_result(timeout=timedelta(0)) == "Hello, Jane"
    assert await execution.get_result(deadline=soon(-1)) == "Hello, Jane"


async def test_the_result_of_a_cancelled_one_is_an_exception(docket: Docket) -> None:
    execution = await docket.add(nothing, soon())()
    await docket.cancel(execution.key)

    with pytest.raises(ExecutionCancelled):
        await execution.get_result()


async def test_the_result_of_a_failed_one_is_the_original_exception(
    docket: Docket, worker: Worker
) -> None:
    execution = await docket.add(refuse)()
    await worker.run_until_finished()

    with pytest.raises(Refused) as caught:
        await execution.get_result()
    assert caught.value.code == 42
    assert execution.error == "Refused: 42"


async def test_an_exception_that_is_not_stored_is_one_with_its_words(url: str, name: str) -> None:
    async with (
        Docket(name, url, execution_ttl=timedelta(0)) as docket,
        Worker(docket) as worker,
    ):
        execution = await docket.add(refuse)()
        await worker.run_until_finished()

        with pytest.raises(Exception, match=r"^Refused: 42$") as caught:
            await execution.get_result()
        assert type(caught.value) is Exception


async def test_nothing_is_the_result_where_nothing_was_returned_or_kept(
    url: str, name: str, docket: Docket, worker: Worker
) -> None:
    execution = await docket.add(nothing)()
    await worker.run_until_finished()
    assert await execution.get_result() is None

    async with (
        Docket(f"{name}-0", url, execution_ttl=timedelta(0)) as forgetful,
        Worker(forgetful) as its_worker,
    ):
        execution = await forgetful.add(greet)("Jane")
        await its_worker.run_until_finished()
        assert await execution.get_result() is None


async def test_subscribing_gives_the_state_then_the_progress_then_what_happens(
    docket: Docket, worker: Worker
) -> None:
    async def work(progress: Progress = Progress()) -> None:
        await progress.set_total(2)
        await progress.increment()

    # Time enough to subscribe, also where the machine has much else to do.
    execution = await docket.add(work, soon(2), "key")()
    ready, events = asyncio.Event(), list[dict[str, Any]]()

    async def listen() -> None:
        async for event in execution.subscribe(ready=ready):
            events.append(cast(dict[str, Any], event))
            if event["type"] == "state" and event["state"] == "completed":
                return

    listening = asyncio.create_task(listen())
    await ready.wait()
    assert [event["type"] for event in events] == ["state", "progress"]
    async with working(worker):
        await asyncio.wait_for(listening, 60)

    assert list(events[0]) == [
        *("type", "key", "state", "when", "worker", "started_at", "completed_at", "error"),
    ]
    assert list(events[1]) == ["type", "key", "current", "total", "message", "updated_at"]
    assert [event["state"] for event in events if event["type"] == "state"] == [
        *("scheduled", "queued", "running", "completed"),
    ]
    assert [event["current"] for event in events if event["type"] == "progress"][-1] == 1


async def test_subscribing_never_loses_the_end(docket: Docket, worker: Worker) -> None:
    async def last_state(execution: Execution) -> str:
        async for event in execution.subscribe():
            if event["type"] == "state" and event["state"] == "completed":
                return event["state"]
        raise AssertionError("it ended without a word")

    async with working(worker):
        for _ in range(20):
            executions = await docket.add_many(docket.call(nothing)() for _ in range(5))
            ends = asyncio.gather(*map(last_state, executions))
            assert await asyncio.wait_for(ends, 60) == ["completed"] * 5


async def test_one_connection_listens_for_all_who_wait(docket: Docket, worker: Worker) -> None:
    subscriptions = docket.storage.subscriptions

    async def listening() -> int:
        command = ("CLIENT", "LIST", "TYPE", "PUBSUB")
        (clients,) = await docket.storage.connection.send(command)
        return len(clients.splitlines())

    async def confirmed(count: int) -> bool:
        return len(subscriptions._confirmed) >= count

    await until(lambda: confirmed(1))
    before = await listening()
    executions = await docket.add_many(docket.call(greet, soon(0.5))("Jane") for _ in range(100))
    waiting = asyncio.gather(*(one.get_result() for one in executions))
    await until(lambda: confirmed(100))

    assert await listening() <= before
    async with working(worker):
        assert await asyncio.wait_for(waiting, 60) == ["Hello, Jane"] * 100


async def test_arguments_are_found_by_name_where_they_were_given() -> None:
    docket = Docket("compat-arguments", "memory://compat")
    execution = made(docket, greet, "Jane")

    assert execution.get_argument("name") == "Jane"
    with pytest.raises(KeyError):
        execution.get_argument("greeting")
    with pytest.raises(TypeError):
        made(docket, greet, "too", "many", "of", "them").get_argument("name")


async def test_rules_see_the_named_arguments_of_a_call_that_does_not_fit_its_task() -> None:
    docket = Docket("compat-arguments", "memory://compat")
    rules = StrikeList()
    rules.update(Strike("greet", "name", Operator.EQUAL, "Jane"))

    assert rules.is_stricken(made(docket, greet, "too", "many", "of", "them", name="Jane"))
    assert not rules.is_stricken(made(docket, greet, "too", "many", "of", "them", name="John"))


def test_a_call_shows_only_what_may_be_logged() -> None:
    async def work(
        shown: Annotated[str, Logged()],
        hidden: str,
        items: Annotated[list[int], Logged(length_only=True)],
        table: Annotated[dict[str, int], Logged(length_only=True)],
        group: Annotated[set[int], Logged(length_only=True)],
        pair: Annotated[tuple[int, int], Logged(length_only=True)],
    ) -> None: ...

    docket = Docket("compat-shown", "memory://compat")
    execution = made(docket, work, "yes", "no", [1, 2, 3], {"a": 1}, {1, 2}, (1, 2))

    assert execution.call_repr() == ("work('yes', ..., [len 3], {len 1}, {len 2}, (len 2)){key}")


async def test_progress_can_be_subscribed_to_without_asking_when_it_is_ready(
    docket: Docket,
) -> None:
    progress, totals = ExecutionProgress(docket, "key"), list[int]()

    async for event in progress.subscribe():
        totals.append(event["total"])
        if len(totals) == 2:
            break
        await progress.set_total(7)

    assert totals == [100, 7]


def test_it_shows_its_call_and_its_state() -> None:
    execution = made(Docket("compat-repr", "memory://compat"), greet, "Jane")

    assert repr(execution) == "<Execution greet(...){key} scheduled>"


async def test_it_can_be_scheduled_by_itself(docket: Docket, worker: Worker) -> None:
    docket.register(greet)

    assert await made(docket, greet, "Jane").schedule() is Disposition.SCHEDULED
    assert await made(docket, greet, "John").schedule() is Disposition.ALREADY_SCHEDULED
    third = made(docket, greet, "Joan")
    assert await third.schedule(replace=True) is Disposition.SCHEDULED
    await worker.run_until_finished()

    assert await third.get_result() == "Hello, Joan"


async def test_it_is_not_scheduled_after_a_generation_that_is_over(docket: Docket) -> None:
    execution = made(docket, greet, "Jane")
    await execution.schedule()
    replaced = await docket.replace(greet, soon(), "key")("John")

    late = made(docket, greet, "Joan")

    assert await late.schedule(replace=True, expected_generation=1) is Disposition.SUPERSEDED
    assert await late.schedule(expected_generation=2) is Disposition.ALREADY_SCHEDULED
    await replaced.sync()
    assert replaced.generation == 2


async def test_a_run_can_be_followed_by_its_own_execution(docket: Docket, worker: Worker) -> None:
    attempts: list[int] = []

    async def work(execution: Execution = CurrentExecution()) -> str:
        attempts.append(execution.attempt)
        if execution.attempt < 3:
            execution.attempt += 1
            await execution.schedule(replace=True, reschedule_message=execution.message_id)
        return "done"

    execution = await docket.add(work)()
    await worker.run_until_finished()

    assert attempts == [1, 2, 3]
    assert await execution.get_result() == "done"


async def test_a_run_that_is_not_under_way_is_followed_by_nothing(docket: Docket) -> None:
    await docket.add(greet, key="key")("Jane")
    execution = await docket.get_execution("key")
    assert execution is not None

    assert await execution.schedule(reschedule_message=b"1-1") is Disposition.SUPERSEDED
    execution.fence = 1
    assert await execution.schedule(reschedule_message=b"1-1") is Disposition.SUPERSEDED


@pytest.mark.parametrize("when", [None, 60], ids=["queued", "scheduled"])
async def test_it_can_be_claimed_and_completed_by_hand(
    docket: Docket, worker: Worker, when: float | None
) -> None:
    execution = await docket.add(greet, None if when is None else soon(when))("Jane")

    assert await execution.claim("me")
    assert (execution.state, execution.worker) == (ExecutionState.RUNNING, "me")
    assert not await execution.claim("somebody else")
    await execution.mark_as_completed()

    assert execution.state is ExecutionState.COMPLETED
    assert await execution.get_result() is None
    assert (await docket.snapshot()).total_tasks == 0
    await worker.run_until_finished()
    assert worker.tally.counts["docket_tasks_started", "greet"] == 0


@pytest.mark.thorough
async def test_what_was_claimed_by_hand_and_not_ended_is_delivered_again(
    docket: Docket, worker: Worker
) -> None:
    execution = await docket.add(greet)("Jane")
    await execution.claim("me")

    await worker.run_until_finished()

    assert await execution.get_result() == "Hello, Jane"


async def test_it_fails_by_hand(docket: Docket) -> None:
    execution = await docket.add(greet)("Jane")
    await execution.claim("me")
    await execution.mark_as_failed("ValueError: by hand")

    assert execution.state is ExecutionState.FAILED
    with pytest.raises(Exception, match="ValueError: by hand"):
        await execution.get_result()


async def test_it_is_ended_by_hand_without_having_been_claimed(docket: Docket) -> None:
    execution = await docket.add(greet)("Jane")

    await execution.mark_as_completed()
    await execution.mark_as_failed("too late")

    assert execution.state is ExecutionState.COMPLETED


async def test_nobody_ends_what_others_run(docket: Docket) -> None:
    mine = await docket.add(greet)("Jane")
    yours = await docket.get_execution(mine.key)
    assert yours is not None
    assert await mine.claim("me")
    yours._generation, yours.fence = mine.generation, None

    await yours.mark_as_completed()
    await mine.sync()

    assert mine.state is ExecutionState.RUNNING


@pytest.mark.parametrize("claimed", [True, False])
async def test_it_is_cancelled_by_hand(docket: Docket, claimed: bool) -> None:
    execution = await docket.add(greet)("Jane")
    if claimed:
        await execution.claim("me")
    await execution.mark_as_cancelled()

    assert execution.state is ExecutionState.CANCELLED
    with pytest.raises(ExecutionCancelled):
        await execution.get_result()


async def test_a_result_key_says_where_the_result_is_kept(url: str, name: str) -> None:
    store = MemoryStore()
    async with Docket(name, url, result_storage=store) as docket:
        execution = await docket.add(greet)("Jane")
        kept = docket.serializer.dump_result("by hand")
        await docket.results.keep("my own key", kept, 60)
        await execution.claim("me")
        await execution.mark_as_completed("my own key")

        assert await execution.get_result() == "by hand"


async def test_it_is_superseded_when_its_key_has_moved_on(docket: Docket) -> None:
    execution = await docket.add(greet, key="key")("Jane")
    assert not await execution.is_superseded()

    await docket.replace(greet, soon(), "key")("John")

    assert await execution.is_superseded()
    assert not await execution.claim("me")


async def test_it_survives_being_handed_on_as_a_message(docket: Docket) -> None:
    execution = await docket.add(greet, soon(), "key")("Jane", greeting="Hi")

    again = await Execution.from_message(
        docket, execution.as_message(), redelivered=True, message_id=b"1-1"
    )

    for attribute in (
        "key",
        "function",
        "function_name",
        "args",
        "kwargs",
        "attempt",
        "generation",
    ):
        assert getattr(again, attribute) == getattr(execution, attribute)
    assert (again.redelivered, again.message_id) == (True, b"1-1")
    assert again.state is ExecutionState.SCHEDULED
    alone = await Execution.from_message(docket, execution.as_message(), sync=False)
    assert alone.when == execution.when


async def test_a_message_of_an_unknown_task_needs_a_fallback(
    url: str, name: str, docket: Docket
) -> None:
    message = (await docket.add(greet)("Jane")).as_message()
    async with Docket(name, url) as other:
        with pytest.raises(
            ValueError,
            match="Task function 'greet' is not registered with the current docket",
        ):
            await Execution.from_message(other, message)
        found = await Execution.from_message(other, message, fallback_task=nothing)
        assert found.function is nothing
        assert found.function_name == "greet"


def test_its_labels_name_the_task_and_the_specific_ones_itself() -> None:
    execution = made(Docket("compat-labels", "memory://compat"), greet, "Jane")

    assert dict(execution.general_labels()) == {"docket.task": "greet"}
    assert dict(execution.specific_labels()) == {
        "docket.task": "greet",
        "docket.key": "key",
        "docket.when": execution.when.isoformat(),
        "docket.attempt": 1,
    }
    assert execution.incoming_span_links() == []


async def test_progress_refuses_what_does_not_count_upwards(docket: Docket) -> None:
    progress = ExecutionProgress(docket, "key")

    with pytest.raises(ValueError, match="Total must be at least 1"):
        await progress.set_total(0)
    with pytest.raises(ValueError, match="Amount must be at least 1"):
        await progress.increment(0)


async def test_the_total_is_one_before_anything_is_written_and_a_hundred_without_data(
    docket: Docket,
) -> None:
    assert ExecutionProgress(docket, "key").total == 1
    assert (await ExecutionProgress.create(docket, "key")).total == 100


async def test_a_message_of_progress_can_be_taken_back(docket: Docket) -> None:
    progress = await ExecutionProgress.create(docket, "key")

    await progress.set_message("nearly")
    assert (await ExecutionProgress.create(docket, "key")).message == "nearly"
    await progress.set_message(None)
    assert (await ExecutionProgress.create(docket, "key")).message is None


async def test_progress_can_be_subscribed_to_by_itself(docket: Docket) -> None:
    progress = await ExecutionProgress.create(docket, "key")
    ready, totals = asyncio.Event(), list[int]()

    async def listen() -> None:
        async for event in ExecutionProgress(docket, "key").subscribe(ready=ready):
            totals.append(event["total"])
            if event["total"] == 7:
                return

    listening = asyncio.create_task(listen())
    await ready.wait()
    await progress.set_total(7)
    await asyncio.wait_for(listening, 60)

    assert totals == [100, 7]


def test_signatures_are_remembered_until_they_are_taken_out() -> None:
    async def work(first: int) -> None: ...

    async def other(second: int) -> None: ...

    assert list(get_signature(work).parameters) == ["first"]
    cast(Any, work).__signature__ = inspect.signature(other)
    assert list(get_signature(work).parameters) == ["first"]
    docket.execution._signature_cache.pop(work, None)
    assert list(get_signature(work).parameters) == ["second"]


def test_no_more_signatures_are_remembered_than_there_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("docket.annotations.MOST_SIGNATURES", 3)

    def function() -> Callable[[], Awaitable[None]]:
        async def work() -> None: ...

        return work

    for _ in range(10):
        get_signature(function())

    assert len(docket.annotations.signatures) == 3


def test_a_signature_can_be_shown_short() -> None:
    def work(
        name: str, note: Annotated[str, Logged()] = "none", retry: Retry = Retry()
    ) -> None: ...

    bare = inspect.Signature([inspect.Parameter("bare", inspect.Parameter.KEYWORD_ONLY)])
    assert compact_signature(get_signature(work)) == "name: str, note: str = 'none', ..."
    assert compact_signature(bare) == "bare"
    assert compact_signature(get_signature(greet)) == "name: str, greeting: str = 'Hello'"


async def test_a_stale_end_does_not_clobber_its_successor(docket: Docket, worker: Worker) -> None:
    execution = await docket.add(greet, key="key")("Jane")
    await execution.claim("me")
    successor = await docket.replace(greet, soon(-1), "key")("John")

    await execution.mark_as_failed("stale")
    await worker.run_until_finished()

    assert await successor.get_result() == "Hello, John"


async def test_a_perpetual_task_keeps_its_key_over_generations(
    docket: Docket, worker: Worker
) -> None:
    generations: list[int] = []

    async def tick(
        execution: Execution = CurrentExecution(), perpetual: Perpetual = Perpetual()
    ) -> None:
        generations.append(execution.generation)

    await docket.add(tick, key="tick")()
    await worker.run_at_most({"tick": 3})

    assert generations == [1, 2, 3]
