"""What the client promises, on every kind of server."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import (
    Agenda,
    Disposition,
    Docket,
    Execution,
    ExecutionCancelled,
    ExecutionState,
    Worker,
)
from docket.errors import (
    ForeignData,
    InvalidKey,
    NotSerializable,
    PayloadTooLarge,
    ServerRefused,
)
from docket.storage.executions import NewExecution
from docket.storage.scripting.nonces import FRESH
from tests.conformance.conftest import until, working


async def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}"


async def fail_badly() -> None:
    raise ValueError("no good")


def soon(seconds: float = 60) -> datetime:
    return datetime.now(timezone.utc) + timedelta(seconds=seconds)


async def test_the_first_example_of_the_readme_runs_as_printed(server_url: str, name: str) -> None:
    greeted: list[str] = []

    async def greet(name: str, greeting: str = "Hello") -> None:
        greeted.append(f"{greeting}, {name}")

    async with Docket(name, server_url) as docket:
        await docket.add(greet)("Jane")
        await docket.add(greet, when=soon(1))("John", greeting="Howdy")
    async with Docket(name, server_url) as docket:
        async with Worker(docket) as worker:
            worker.register(greet)
            await worker.run_until_finished()

    assert greeted == ["Hello, Jane", "Howdy, John"]


async def test_every_server_can_be_asked_why(docket: Docket) -> None:
    await docket.add(greet, key="k")("Jane")

    found = await docket.insights.explain("k")

    assert found is not None
    assert found.cause == "no_worker"
    assert await docket.insights.explain_schedule("nobody") is None


async def test_an_added_execution_is_queued_and_known(docket: Docket) -> None:
    execution = await docket.add(greet)("Jane", greeting="Howdy")

    found = await docket.get_execution(execution.key)

    assert execution.disposition is Disposition.SCHEDULED
    assert found is not None
    assert (found.function_name, found.args, found.kwargs) == (
        "greet",
        ("Jane",),
        {"greeting": "Howdy"},
    )
    assert (found.state, found.attempt, found.generation) == (ExecutionState.QUEUED, 1, 1)


async def test_a_future_execution_is_scheduled_for_its_due_time(docket: Docket) -> None:
    due = soon()
    execution = await docket.add(greet, when=due)("Jane")

    found = await docket.get_execution(execution.key)

    assert found is not None
    assert found.state is ExecutionState.SCHEDULED
    assert abs(found.when - due) < timedelta(milliseconds=2)


async def test_a_live_key_is_left_alone_by_another_add(docket: Docket) -> None:
    first = await docket.add(greet, key="the-key")("Jane")
    second = await docket.add(greet, key="the-key")("John")

    found = await docket.get_execution("the-key")

    assert first.disposition is Disposition.SCHEDULED
    assert second.disposition is Disposition.ALREADY_SCHEDULED
    assert found is not None
    assert found.args == ("Jane",)


async def test_a_finished_key_can_be_added_again(docket: Docket, worker: Worker) -> None:
    docket.register(greet)
    await docket.add(greet, key="the-key")("Jane")
    await worker.run_until_finished()

    again = await docket.add(greet, key="the-key")("John")
    await worker.run_until_finished()

    assert again.disposition is Disposition.SCHEDULED
    assert await again.get_result() == "Hello, John"


@pytest.mark.parametrize("nonce", ["a nonce", FRESH], ids=["given key", "made key"])
async def test_an_add_that_is_sent_twice_answers_twice_and_runs_once(
    docket: Docket, worker: Worker, nonce: str
) -> None:
    runs: list[int] = []

    async def count(number: int) -> None:
        runs.append(number)

    docket.register(count)
    new = NewExecution("key", nonce, 0, "count", docket.serializer.dump_call((1,), {}))

    first = await docket.storage.executions.schedule([new])
    second = await docket.storage.executions.schedule([new])
    await worker.run_until_finished()
    third = await docket.storage.executions.schedule([new])
    await worker.run_until_finished()

    assert [answer[0].disposition for answer in (first, second, third)] == [
        Disposition.SCHEDULED
    ] * 3
    assert runs == [1]


async def test_a_replaced_execution_runs_with_its_new_arguments_only(
    docket: Docket, worker: Worker
) -> None:
    docket.register(greet)
    for first_due in (None, soon()):
        await docket.add(greet, when=first_due, key="key")("Jane")
        replaced = await docket.replace(greet, when=soon(-1), key="key")("John")
        await worker.run_until_finished()

        assert await replaced.get_result() == "Hello, John"
        assert worker.tally.counts["docket_tasks_completed", "greet"] == 1
        worker.tally.counts.clear()


async def test_replacing_a_key_that_is_not_known_schedules_it(docket: Docket) -> None:
    execution = await docket.replace(greet, when=soon(), key="key")("Jane")

    assert execution.disposition is Disposition.SCHEDULED


async def test_many_calls_are_scheduled_in_order(docket: Docket) -> None:
    docket.register(greet)
    executions = await docket.add_many(
        [docket.call("greet", key=f"key-{number}")(str(number)) for number in range(250)],
        chunk_size=100,
    )

    assert [execution.key for execution in executions] == [f"key-{number}" for number in range(250)]
    assert {execution.disposition for execution in executions} == {Disposition.SCHEDULED}
    assert (await docket.snapshot()).total_tasks == 250


async def test_many_calls_are_replaced_in_one_go(docket: Docket) -> None:
    calls = [docket.call(greet, when=soon(), key=f"key-{number}")("Jane") for number in range(3)]
    await docket.add_many(calls)

    replaced = await docket.replace_many(calls, chunk_size=None)

    assert [execution.generation for execution in replaced] == [2, 2, 2]
    assert await docket.add_many([]) == []


async def test_a_chunk_size_below_one_is_refused(docket: Docket) -> None:
    with pytest.raises(ValueError, match="chunk_size must be at least 1, got 0"):
        await docket.add_many([], chunk_size=0)


async def test_one_bad_key_does_not_take_the_others_of_a_bulk_with_it(docket: Docket) -> None:
    async with docket.redis() as client:
        await client.set(docket.runs_key("bad"), "a string where a hash should be")

    good, bad, fine = await docket.add_many(
        [docket.call(greet, key=key)("Jane") for key in ("good", "bad", "fine")]
    )

    assert (good.disposition, fine.disposition) == (Disposition.SCHEDULED, Disposition.SCHEDULED)
    assert bad.disposition is Disposition.FAILED
    assert isinstance(bad.schedule_exception, ServerRefused)
    with pytest.raises(ServerRefused, match="WRONGTYPE"):
        await docket.add(greet, key="bad")("Jane")


async def test_a_key_that_is_no_text_and_a_time_that_is_none_are_refused(docket: Docket) -> None:
    with pytest.raises(InvalidKey, match="expected a string as the key, found 5"):
        await docket.add(greet, key=5)("Jane")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="expected a datetime as when, found 'tomorrow'"):
        await docket.add(greet, when="tomorrow")("Jane")  # type: ignore[call-overload]


@pytest.mark.parametrize("key", ["x" * 1025, "ü" * 513, "lone \ud800"])
async def test_a_key_that_is_long_or_that_utf_8_cannot_say_is_refused(
    docket: Docket, key: str
) -> None:
    with pytest.raises(InvalidKey, match="expected a key "):
        await docket.add(greet, key=key)("Jane")


async def test_a_naive_due_time_is_refused(docket: Docket) -> None:
    with pytest.raises(ValueError, match="expected an aware datetime"):
        await docket.add(greet, when=datetime(2030, 1, 1))("Jane")


async def test_an_unknown_name_is_refused_before_it_is_called(docket: Docket) -> None:
    with pytest.raises(KeyError, match="nobody"):
        docket.add("nobody")


async def test_arguments_that_can_not_be_stored_are_refused_at_add(
    server_url: str, name: str
) -> None:
    async with Docket(name, server_url, codecs=["safe"], max_payload=100) as docket:
        with pytest.raises(PayloadTooLarge):
            await docket.add(greet)("x" * 200)
        with pytest.raises(NotSerializable):
            await docket.add(greet)(object())  # type: ignore[arg-type]
        assert (await docket.snapshot()).total_tasks == 0


async def test_a_scheduled_and_a_queued_execution_are_cancelled_for_good(
    docket: Docket, worker: Worker
) -> None:
    docket.register(greet)
    for due in (None, soon(0.2)):
        execution = await docket.add(greet, when=due)("Jane")
        await docket.cancel(execution.key)
        await worker.run_until_finished()
        await execution.sync()

        assert execution.state is ExecutionState.CANCELLED
        with pytest.raises(ExecutionCancelled):
            await execution.get_result()
    assert worker.tally.counts["docket_tasks_started", "greet"] == 0


async def test_cancelling_what_is_unknown_or_finished_is_no_error(
    docket: Docket, worker: Worker
) -> None:
    docket.register(greet)
    execution = await docket.add(greet)("Jane")
    await worker.run_until_finished()

    await docket.cancel("nobody")
    await docket.cancel(execution.key)

    assert await execution.get_result() == "Hello, Jane"


async def test_a_cancelled_key_can_be_added_again(docket: Docket, worker: Worker) -> None:
    docket.register(greet)
    await docket.add(greet, when=soon(), key="key")("Jane")
    await docket.cancel("key")

    again = await docket.add(greet, key="key")("John")
    await worker.run_until_finished()

    assert await again.get_result() == "Hello, John"


async def test_a_result_is_waited_for(docket: Docket, worker: Worker) -> None:
    docket.register(greet)
    execution = await docket.add(greet, when=soon(0.2))("Jane")
    waiting = asyncio.gather(
        *(execution.get_result(timeout=timedelta(seconds=60)) for _ in range(5))
    )

    async with working(worker):
        assert await waiting == ["Hello, Jane"] * 5


async def test_an_error_is_raised_again_as_it_was(docket: Docket, worker: Worker) -> None:
    docket.register(fail_badly)
    execution = await docket.add(fail_badly)()
    await worker.run_until_finished()

    with pytest.raises(ValueError, match="no good"):
        await execution.get_result()
    assert execution.error == "ValueError: no good"
    assert execution.state is ExecutionState.FAILED


async def test_waiting_for_a_result_ends_at_its_time_limit(docket: Docket) -> None:
    execution = await docket.add(greet)("Jane")
    message = f"Timeout waiting for execution {execution.key} to complete"

    with pytest.raises(TimeoutError, match=message):
        await execution.get_result(timeout=timedelta(milliseconds=50))
    with pytest.raises(TimeoutError, match=message):
        await execution.get_result(deadline=soon(-1))
    with pytest.raises(ValueError, match="Cannot specify both timeout and deadline"):
        await execution.get_result(timeout=timedelta(), deadline=soon())


async def test_a_waiter_is_told_of_a_cancellation(docket: Docket) -> None:
    execution = await docket.add(greet, when=soon())("Jane")
    waiting = asyncio.create_task(execution.get_result())
    await asyncio.sleep(0)
    await docket.cancel(execution.key)

    with pytest.raises(ExecutionCancelled):
        await waiting


async def test_no_result_is_kept_where_none_shall_be(server_url: str, name: str) -> None:
    async with (
        Docket(name, server_url, execution_ttl=timedelta()) as docket,
        Worker(docket) as worker,
    ):
        docket.register(greet)
        execution = await docket.add(greet)("Jane")
        await worker.run_until_finished()

        assert await execution.get_result(timeout=timedelta()) is None


async def test_of_a_docket_without_any_nothing_is_dead_parked_or_to_come(docket: Docket) -> None:
    executions = docket.storage.executions

    for found in (executions.dead(), executions.parked(), executions.future()):
        assert [record async for record in found] == []


async def test_what_is_to_come_is_listed_whole_however_much_it_is(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.storage.executions.PAGE", 2)
    for number in range(5):
        await docket.add(greet, soon(60 + number), key=f"{number}")("Jane")

    found = [record.key async for record in docket.storage.executions.future()]

    assert found == ["0", "1", "2", "3", "4"]


async def test_a_record_that_has_expired_gives_no_result(docket: Docket) -> None:
    execution = await docket.add(greet, when=soon())("Jane")
    async with docket.redis() as client:
        await client.delete(docket.runs_key(execution.key))

    assert await docket.get_execution(execution.key) is None
    assert await execution.get_result() is None


async def test_a_subscriber_hears_of_every_state_and_of_progress(
    docket: Docket, worker: Worker
) -> None:
    going = asyncio.Event()

    async def work() -> None:
        execution = await docket.get_execution("key")
        assert execution is not None
        await execution.progress.set_total(3)
        await execution.progress.increment(2)
        await execution.progress.set_message("nearly")
        await execution.progress.set_message(None)
        going.set()

    docket.register(work)
    # Time enough to subscribe, also where the machine has much else to do.
    execution = await docket.add(work, when=soon(2), key="key")()
    ready = asyncio.Event()
    events: list[Any] = []

    async def listen() -> None:
        async for event in execution.subscribe(ready=ready):
            events.append(event)
            if event["type"] == "state" and event["state"] == "completed":
                return

    listening = asyncio.create_task(listen())
    await ready.wait()
    async with working(worker):
        await asyncio.wait_for(listening, 60)

    states = [event["state"] for event in events if event["type"] == "state"]
    progress = [event for event in events if event["type"] == "progress"]
    assert states == ["scheduled", "queued", "running", "completed"]
    assert all(isinstance(state, ExecutionState) for state in states)
    assert [event["current"] for event in progress] == [None, None, 2, 2, 2]
    assert [event["total"] for event in progress] == [100, 3, 3, 3, 3]
    assert [event["message"] for event in progress] == [None, None, None, "nearly", None]
    assert events[-1]["worker"] == worker.name
    assert events[-1]["started_at"] <= events[-1]["completed_at"]


async def test_progress_counts_upwards_only(docket: Docket) -> None:
    execution = await docket.add(greet)("Jane")

    with pytest.raises(ValueError, match="Total must be at least 1"):
        await execution.progress.set_total(0)
    with pytest.raises(ValueError, match="Amount must be at least 1"):
        await execution.progress.increment(0)
    assert execution.progress.total == 1
    await execution.progress.increment()
    await execution.progress.sync()
    assert (execution.progress.current, execution.progress.total) == (1, 100)


async def test_an_execution_that_is_looked_up_or_synced_tells_its_progress(docket: Docket) -> None:
    execution = await docket.add(greet)("Jane")
    found = await docket.get_execution(execution.key)
    assert found is not None
    assert found.progress.message is None

    await execution.progress.set_message("Boiling water")
    await found.sync()
    again = await docket.get_execution(execution.key)

    assert again is not None
    assert found.progress.message == again.progress.message == "Boiling water"


async def test_a_snapshot_shows_what_waits_what_runs_and_who_works(
    docket: Docket, worker: Worker
) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        running.set()
        await go_on.wait()

    docket.register(work)
    worker.concurrency = 1
    await docket.add(work, key="first")()
    async with working(worker):
        await running.wait()
        await docket.add(work, key="second")()
        await docket.add(greet, when=soon(), key="third")("Jane")
        snapshot = await docket.snapshot()

        assert snapshot.total_tasks == 3
        assert {execution.key for execution in snapshot.future} == {"second", "third"}
        assert [(run.key, run.worker) for run in snapshot.running] == [("first", worker.name)]
        assert snapshot.running[0].started <= datetime.now(timezone.utc) + timedelta(seconds=1)
        assert [info.name for info in snapshot.workers] == [worker.name]
        assert [info.name for info in await docket.task_workers("work")] == [worker.name]
        assert await docket.task_workers("greet") == []

        assert await docket.clear() == 2
        go_on.set()
    assert (await docket.snapshot()).total_tasks == 0
    assert await docket.workers() == []


async def test_clearing_cancels_what_waits_and_says_how_much(docket: Docket) -> None:
    executions = await docket.add_many(
        [docket.call(greet, when=when)("Jane") for when in (None, soon()) for _ in range(3)]
    )

    assert await docket.clear() == 6
    assert await docket.clear() == 0
    found = [await docket.get_execution(execution.key) for execution in executions]
    assert {execution.state for execution in found if execution} == {ExecutionState.CANCELLED}


async def test_a_struck_call_is_not_stored(docket: Docket) -> None:
    await docket.strike(greet)
    await docket.strike(greet, "name", "==", "acme")
    await docket.strike(None, "greeting", "between", ("A", "C"))

    execution = await docket.add(greet)("Jane")
    assert execution.disposition is Disposition.STRUCK
    assert await docket.get_execution(execution.key) is None

    await docket.restore(greet)
    assert (await docket.add(greet)("Jane")).disposition is Disposition.SCHEDULED
    assert (await docket.add(greet)("acme")).disposition is Disposition.STRUCK
    assert (await docket.add(greet)("Jane", greeting="Bye")).disposition is Disposition.STRUCK
    assert (await docket.add(greet)("Jane", greeting="Hi")).disposition is Disposition.SCHEDULED


async def test_the_server_strikes_a_task_for_clients_that_do_not_know_yet(
    server_url: str, name: str, docket: Docket
) -> None:
    await docket.strike("greet")
    new = NewExecution("key", FRESH, 0, "greet", docket.serializer.dump_call(("Jane",), {}))

    (answer,) = await docket.storage.executions.schedule([new])

    assert answer.disposition is Disposition.STRUCK
    assert await docket.get_execution("key") is None


async def test_strikes_reach_every_client(server_url: str, name: str, docket: Docket) -> None:
    async with Docket(name, server_url) as other:
        await docket.strike(greet, "name", "==", "acme")
        await until(lambda: _async(len(other.strike_list.rules) == 1))
        assert (await other.add(greet)("acme")).disposition is Disposition.STRUCK

        await docket.restore(greet, "name", "==", "acme")
        await until(lambda: _async(not other.strike_list.rules))
        assert (await other.add(greet)("acme")).disposition is Disposition.SCHEDULED


async def _async(value: bool) -> bool:
    return value


async def test_an_agenda_is_scattered_over_a_time(docket: Docket) -> None:
    agenda = Agenda()
    for number in range(5):
        agenda.add(greet, key=f"key-{number}")(str(number))
    start = soon()

    executions = await agenda.scatter(docket, over=timedelta(minutes=4), start=start)

    assert [execution.when - start for execution in executions] == [
        timedelta(minutes=minute) for minute in range(5)
    ]
    assert len(agenda) == 5
    assert [item.key for item in agenda] == [f"key-{number}" for number in range(5)]
    agenda.clear()
    assert len(agenda) == 0


async def test_a_docket_is_entered_once(docket: Docket) -> None:
    with pytest.raises(AssertionError, match="not reentrant"):
        await docket.__aenter__()


async def test_work_of_another_program_is_left_alone(server_url: str, docket: Docket) -> None:
    prefix = docket.prefix.strip("{}")

    async def foreign(suffix: str, kind: str) -> str:
        name = f"{prefix}-{suffix}"
        key = docket.prefix.replace(prefix, name)
        async with docket.redis() as client:
            if kind == "strikes":
                await client.xadd(f"{key}:strikes", {"direction": "strike"})
            elif kind == "stream":
                await client.xadd(f"{key}:stream", {"key": "k", "function": "f"})
            else:
                await client.zadd(f"{key}:queue", {"k": 1})
                await client.hset(f"{key}:runs:k", mapping={"function": "f"})
        return name

    for suffix, kind in (("a", "strikes"), ("b", "stream"), ("c", "queue")):
        with pytest.raises(ForeignData, match="another program"):
            async with Docket(await foreign(suffix, kind), server_url):
                pass


async def test_an_execution_made_by_hand_is_scheduled(docket: Docket, worker: Worker) -> None:
    docket.register(greet)
    execution = Execution(docket, greet, ("Jane",), {}, "key", soon(-1), attempt=2)

    await docket.schedule(execution)
    await worker.run_until_finished()
    await execution.sync()

    assert execution.disposition is Disposition.SCHEDULED
    assert (execution.state, execution.attempt) == (ExecutionState.COMPLETED, 2)


async def test_a_subscription_ends_with_the_run_and_at_once_when_it_is_over(
    docket: Docket, worker: Worker
) -> None:
    async def brief() -> None: ...

    execution = await docket.add(brief)()

    async def states(ready: asyncio.Event | None = None) -> list[ExecutionState]:
        return [
            event["state"]
            async for event in execution.subscribe(ready=ready)
            if event["type"] == "state"
        ]

    ready = asyncio.Event()
    listening = asyncio.create_task(states(ready))
    await ready.wait()
    await worker.run_until_finished()

    assert (await asyncio.wait_for(listening, 60))[-1] is ExecutionState.COMPLETED
    assert await asyncio.wait_for(states(), 60) == [ExecutionState.COMPLETED]
