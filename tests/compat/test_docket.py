"""A docket, as programs written for pydocket use it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import FrozenInstanceError
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from key_value.aio.stores.memory import MemoryStore
from redis.credentials import UsernamePasswordCredentialProvider

from docket import (
    CurrentExecution,
    Disposition,
    Docket,
    Execution,
    ExecutionCancelled,
    ExecutionState,
    Perpetual,
    Retry,
    TaskCall,
    Worker,
)
from docket.errors import DocketError, ForeignData, ServerRefused, Undecodable
from docket.strikelist import Operator
from tests.compat.conftest import soon, until, working
from tests.stores import Endless

stored_tasks: list[Any] = []


async def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}"


async def fail() -> None:
    raise ValueError("no good")


async def test_its_arguments_have_the_defaults_of_pydocket() -> None:
    docket = Docket("compat-defaults", "memory://compat")

    assert docket.heartbeat_interval == timedelta(seconds=2)
    assert docket.missed_heartbeats == 5
    assert docket.execution_ttl == timedelta(minutes=15)
    assert docket.credential_provider is None
    assert docket.enable_internal_instrumentation is False


async def test_its_arguments_can_be_given_by_position() -> None:
    store = MemoryStore()
    docket = Docket(
        "compat-positions",
        "memory://compat",
        timedelta(seconds=1),
        3,
        timedelta(minutes=1),
        store,
        True,
        None,
    )

    assert (docket.name, docket.url) == ("compat-positions", "memory://compat")
    assert (docket.heartbeat_interval, docket.missed_heartbeats) == (timedelta(seconds=1), 3)
    assert docket.execution_ttl == timedelta(minutes=1)
    assert docket.result_storage is store
    assert docket.enable_internal_instrumentation is True


async def test_it_is_not_reentrant(docket: Docket) -> None:
    with pytest.raises(AssertionError, match="RedisConnection is not reentrant"):
        async with docket:
            pass


async def test_it_can_be_entered_again_after_it_was_left(url: str, name: str) -> None:
    docket = Docket(name, url)
    async with docket:
        await docket.add(greet, key="key")("Jane")
    async with docket:
        assert await docket.get_execution("key") is not None


def test_credentials_in_the_url_and_in_a_provider_are_refused_at_construction() -> None:
    with pytest.raises(
        ValueError, match="Pass credentials in the URL or in credential_provider, not both"
    ):
        Docket(
            url="redis://app:secret@localhost",
            credential_provider=UsernamePasswordCredentialProvider("app", "secret"),
        )


async def test_tasks_can_be_registered_before_it_is_entered(url: str, name: str) -> None:
    docket = Docket(name, url)
    docket.register(greet)

    async with docket:
        execution = await docket.add("greet")("Jane")

    assert execution.function is greet


async def test_its_tasks_start_with_trace_fail_and_sleep(docket: Docket) -> None:
    assert {"trace", "fail", "sleep"} <= docket.tasks.keys()
    assert isinstance(docket.tasks, dict)
    assert docket.strike_list.name == docket.name


async def test_a_storage_of_the_users_own_is_set_up_on_entering(url: str, name: str) -> None:
    class Storage(MemoryStore):
        setups = 0

        async def setup(self) -> None:
            Storage.setups += 1
            await super().setup()

    docket = Docket(name, url, result_storage=Storage())
    assert Storage.setups == 0
    async with docket:
        assert Storage.setups == 1


async def test_results_go_to_a_storage_of_the_users_own_before_they_are_settled(
    url: str, name: str
) -> None:
    stored: list[tuple[str, str | None, float | None, ExecutionState]] = []

    class Storage(MemoryStore):
        async def put(
            self, key: str, value: Any, *, collection: Any = None, ttl: Any = None
        ) -> None:
            found = await docket.get_execution("key")
            assert found is not None
            stored.append((key, collection, ttl, found.state))
            await super().put(key, value, collection=collection, ttl=ttl)

    async with Docket(name, url, result_storage=Storage()) as docket, Worker(docket) as worker:
        execution = await docket.add(greet, key="key")("Jane")
        await worker.run_until_finished()

        assert await execution.get_result() == "Hello, Jane"
        assert stored == [
            ("key:1", docket.results_collection, 900.0, ExecutionState.RUNNING),
        ]
        assert execution.result_key == "key:1"


async def test_an_exception_goes_to_a_storage_of_the_users_own_as_well(url: str, name: str) -> None:
    async with (
        Docket(name, url, result_storage=MemoryStore()) as docket,
        Worker(docket) as worker,
    ):
        execution = await docket.add(fail)()
        await worker.run_until_finished()

        with pytest.raises(ValueError, match="no good"):
            await execution.get_result()
        async with docket.redis() as client:
            settled = await client.get(docket.key(f"results:{execution.key}"))
        assert settled == f"\x7f@{execution.key}:1".encode()


async def test_a_storage_that_does_not_get_ready_leaves_nothing_open(url: str, name: str) -> None:
    class Storage(MemoryStore):
        async def setup(self) -> None:
            raise OSError("no disk")

    docket = Docket(name, url, result_storage=Storage())
    for _ in range(2):
        with pytest.raises(OSError, match="no disk"):
            await docket.__aenter__()


async def test_a_result_that_its_storage_does_not_take_at_first_is_offered_again(
    url: str, name: str
) -> None:
    class Storage(MemoryStore):
        tries = 0

        async def put(self, *args: Any, **kwargs: Any) -> None:
            Storage.tries += 1
            if Storage.tries < 3:
                raise OSError("busy")
            await super().put(*args, **kwargs)

    async with Docket(name, url, result_storage=Storage()) as docket, Worker(docket) as worker:
        execution = await docket.add(greet)("Jane")
        await worker.run_until_finished()

        assert await execution.get_result() == "Hello, Jane"
        assert Storage.tries == 3


async def test_results_stay_in_redis_without_a_storage_of_the_users_own(docket: Docket) -> None:
    assert await docket.results.keep("key:1", b"result", 60) == b"result"
    assert not docket.results.are_elsewhere


async def test_a_result_that_its_storage_does_not_take_is_a_failure(url: str, name: str) -> None:
    class Storage(MemoryStore):
        async def put(self, *args: Any, **kwargs: Any) -> None:
            raise OSError("the disk is full")

    async with Docket(name, url, result_storage=Storage()) as docket, Worker(docket) as worker:
        execution = await docket.add(greet)("Jane")
        await worker.run_until_finished()

        with pytest.raises(OSError, match="the disk is full"):
            await execution.get_result()


async def test_a_result_whose_storage_is_not_at_hand_says_so(url: str, name: str) -> None:
    async with (
        Docket(name, url, result_storage=MemoryStore()) as docket,
        Worker(docket) as worker,
    ):
        execution = await docket.add(greet, key="key")("Jane")
        await worker.run_until_finished()
    async with Docket(name, url) as elsewhere:
        found = await elsewhere.get_execution("key")
        assert found is not None
        with pytest.raises(Undecodable, match="give this docket the same result_storage"):
            await found.get_result()
    async with Docket(name, url, result_storage=MemoryStore()) as another:
        found = await another.get_execution(execution.key)
        assert found is not None
        assert await found.get_result() is None


@pytest.mark.parametrize("way", ["drain", "cancel"])
async def test_a_run_that_is_ended_while_its_result_is_stored_ends_as_told(
    url: str, name: str, way: str
) -> None:
    store = Endless()
    async with Docket(name, url, result_storage=store) as docket, Worker(docket) as worker:
        execution = await docket.add(greet)("Jane")
        async with working(worker):
            await asyncio.wait_for(store.begun.wait(), 60)
            if way == "drain":
                await worker.drain(timedelta())
            else:
                await docket.cancel(execution.key)
                with pytest.raises(ExecutionCancelled):
                    await execution.get_result(timeout=timedelta(seconds=60))
        await execution.sync()

    expected = ExecutionState.QUEUED if way == "drain" else ExecutionState.CANCELLED
    assert execution.state is expected


def test_two_dependencies_of_which_there_can_be_one_are_refused_at_registration() -> None:
    async def twice(
        first: Retry = Retry(attempts=2), second: Retry = Retry(attempts=3)
    ) -> None: ...

    with pytest.raises(ValueError, match="Retry"):
        Docket("compat-twice", "memory://compat").register(twice)


def test_a_task_is_registered_under_its_name_or_under_given_names() -> None:
    docket = Docket("compat-names", "memory://compat")

    docket.register(greet)
    docket.register(greet, ["hello", "hi"])

    assert docket.tasks["greet"] is docket.tasks["hello"] is docket.tasks["hi"] is greet


def test_a_collection_is_registered_by_its_path() -> None:
    docket = Docket("compat-collection", "memory://compat")
    stored_tasks[:] = [greet]

    docket.register_collection("tests.compat.test_docket:stored_tasks")

    assert docket.tasks["greet"] is greet
    with pytest.raises(ImportError):
        docket.register_collection("nobody.knows:tasks")
    with pytest.raises(AttributeError):
        docket.register_collection("tests.compat.test_docket:nobody")


async def test_an_unknown_name_is_refused_by_add_and_not_by_the_call(docket: Docket) -> None:
    with pytest.raises(KeyError):
        docket.add("nobody")
    with pytest.raises(KeyError):
        docket.replace("nobody", soon(), "key")
    with pytest.raises(KeyError):
        docket.call("nobody")


async def test_adding_a_function_registers_it(docket: Docket) -> None:
    await docket.add(greet)("Jane")
    await docket.add(fail)()

    assert docket.tasks["greet"] is greet
    assert docket.tasks["fail"] is fail, "in the place of the one of this name"


async def test_without_a_time_it_is_due_now_in_utc(docket: Docket) -> None:
    before = datetime.now(timezone.utc)

    execution = await docket.add(greet)("Jane")

    assert before <= execution.when <= datetime.now(timezone.utc)
    assert execution.when.tzinfo is not None


async def test_without_a_key_it_is_a_uuid7(docket: Docket) -> None:
    execution = await docket.add(greet)("Jane")

    assert UUID(execution.key).version == 7


@pytest.mark.parametrize("live", ["scheduled", "queued", "running"])
async def test_a_live_key_is_already_scheduled(docket: Docket, worker: Worker, live: str) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        running.set()
        await go_on.wait()

    await docket.add(work, soon() if live == "scheduled" else None, "key")()
    async with working(worker):
        if live == "running":
            await running.wait()
        again = await docket.add(work, key="key")()
        go_on.set()

    assert again.disposition is Disposition.ALREADY_SCHEDULED


async def test_what_is_stricken_is_not_written_and_warned_of(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    await docket.strike(greet)

    with caplog.at_level(logging.WARNING, "docket.docket"):
        execution = await docket.add(greet)("Jane")

    assert execution.disposition is Disposition.STRUCK
    assert await docket.get_execution(execution.key) is None
    assert caplog.records


async def test_replace_overwrites_what_is_scheduled_or_queued(
    docket: Docket, worker: Worker
) -> None:
    for when in (soon(), None):
        await docket.add(greet, when, "key")("Jane")
        replaced = await docket.replace(greet, soon(-1), "key")("John")
        await worker.run_until_finished()

        assert await replaced.get_result() == "Hello, John"


async def test_replace_lets_a_running_one_go_on_whose_end_does_not_touch_the_key(
    docket: Docket, worker: Worker
) -> None:
    running, go_on, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(number: int, execution: Execution = CurrentExecution()) -> int:
        if number == 1:
            running.set()
            await go_on.wait()
            assert await execution.is_superseded()
            ended.set()
        return number

    await docket.add(work, key="key")(1)
    async with working(worker):
        await running.wait()
        second = await docket.replace(work, soon(), "key")(2)
        go_on.set()
        await ended.wait()
    await second.sync()

    assert second.state is ExecutionState.SCHEDULED
    assert second.generation == 2


async def test_a_call_is_a_frozen_value(docket: Docket) -> None:
    when = soon()

    call = docket.call(greet, when, "key")("Jane", greeting="Howdy")

    assert (call.function, call.args, call.kwargs, call.key, call.when, call.function_name) == (
        greet,
        ("Jane",),
        {"greeting": "Howdy"},
        "key",
        when,
        None,
    )
    assert docket.call("greet")("Jane").function_name == "greet"
    with pytest.raises(FrozenInstanceError):
        call.key = "other"  # type: ignore[misc]
    made = TaskCall(greet, ("Jane",), {}, "made", when, "greet")
    (execution,) = await docket.add_many([made])
    assert execution.key == "made"


async def test_many_are_added_and_replaced_in_input_order(docket: Docket) -> None:
    calls = [docket.call(greet, soon(), f"key-{number}")("Jane") for number in range(25)]

    added = await docket.add_many(calls, chunk_size=10)
    replaced = await docket.replace_many(calls, chunk_size=None)

    keys = [f"key-{number}" for number in range(25)]
    assert [one.key for one in added] == [one.key for one in replaced] == keys
    assert {one.generation for one in replaced} == {2}


async def test_a_chunk_size_below_one_is_refused(docket: Docket) -> None:
    for many in (docket.add_many, docket.replace_many):
        with pytest.raises(ValueError, match="chunk_size must be at least 1, got 0"):
            await many([], chunk_size=0)


async def test_one_that_redis_refuses_is_failed_and_carries_the_exception(docket: Docket) -> None:
    async with docket.redis() as client:
        await client.set(docket.runs_key("bad"), "no hash")

    good, bad = await docket.add_many(
        docket.call(greet, key=key)("Jane") for key in ("good", "bad")
    )

    assert good.disposition is Disposition.SCHEDULED
    assert bad.disposition is Disposition.FAILED
    assert isinstance(bad.schedule_exception, ServerRefused)


async def test_an_execution_made_by_hand_can_be_scheduled(docket: Docket, worker: Worker) -> None:
    docket.register(greet)
    execution = Execution(docket, greet, ("Jane",), {}, "key", soon(-1), 1)
    assert execution.disposition is Disposition.LOADED

    await docket.schedule(execution)
    await worker.run_until_finished()

    assert execution.disposition is Disposition.SCHEDULED
    assert await execution.get_result() == "Hello, Jane"


async def test_cancel_never_raises_for_unknown_keys(docket: Docket) -> None:
    await docket.cancel("nobody")


@pytest.mark.parametrize("when", [None, 60], ids=["queued", "scheduled"])
async def test_cancel_removes_what_waits_publishes_it_and_wakes_who_waits_for_the_result(
    docket: Docket, worker: Worker, when: float | None
) -> None:
    execution = await docket.add(greet, None if when is None else soon(when))("Jane")
    ready, heard = asyncio.Event(), list[str]()

    async def listen() -> None:
        async for event in execution.subscribe(ready=ready):
            if event["type"] == "state":
                heard.append(event["state"])
                if event["state"] == "cancelled":
                    return

    found = await docket.get_execution(execution.key)
    assert found is not None
    listening = asyncio.create_task(listen())
    waiting = asyncio.create_task(found.get_result())
    await ready.wait()
    await docket.cancel(execution.key)

    with pytest.raises(ExecutionCancelled):
        await waiting
    await asyncio.wait_for(listening, 60)
    assert (await docket.snapshot()).total_tasks == 0


async def test_cancel_tells_a_running_task(docket: Docket, worker: Worker) -> None:
    running = asyncio.Event()

    async def work() -> None:
        running.set()
        await asyncio.Event().wait()

    execution = await docket.add(work)()
    async with working(worker):
        await running.wait()
        waiting = asyncio.create_task(execution.get_result())
        await docket.cancel(execution.key)
        with pytest.raises(ExecutionCancelled):
            await asyncio.wait_for(waiting, 60)


async def test_cancel_before_the_start_leaves_the_worker_reading(
    docket: Docket, worker: Worker
) -> None:
    async with working(worker):
        for _ in range(3):
            cancelled = await docket.add(greet, soon(0.05))("Jane")
            await docket.cancel(cancelled.key)
        execution = await docket.add(greet)("John")
        assert await execution.get_result(timeout=timedelta(seconds=60)) == "Hello, John"


async def test_cancel_then_add_is_accepted(docket: Docket, worker: Worker) -> None:
    await docket.add(greet, soon(), "key")("Jane")
    await docket.cancel("key")

    again = await docket.add(greet, key="key")("John")
    await worker.run_until_finished()

    assert again.disposition is Disposition.SCHEDULED
    assert await again.get_result() == "Hello, John"


async def test_an_execution_that_is_asked_for_is_synced_already(
    docket: Docket, worker: Worker
) -> None:
    assert await docket.get_execution("nobody") is None
    await docket.add(greet, key="key")("Jane")
    await worker.run_until_finished()

    found = await docket.get_execution("key")

    assert found is not None
    assert found.state is ExecutionState.COMPLETED
    assert found.worker == worker.name
    assert found.started_at is not None
    assert found.completed_at is not None


async def test_an_execution_of_an_unregistered_function_has_a_placeholder(
    url: str, name: str, docket: Docket
) -> None:
    await docket.add(greet, soon(), "key")("Jane")
    async with Docket(name, url) as other:
        found = await other.get_execution("key")

        assert found is not None
        assert found.function_name == found.function.__name__ == "greet"
        assert found.args == ("Jane",)
        with pytest.raises(DocketError, match="the task 'greet' is not known here"):
            await found.function()


async def test_clear_takes_what_is_queued_and_scheduled_only(
    docket: Docket, worker: Worker
) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> int:
        running.set()
        await go_on.wait()
        return 1

    worker.concurrency = 1
    first = await docket.add(work)()
    async with working(worker):
        await running.wait()
        queued = await docket.add(greet)("Jane")
        scheduled = await docket.add(greet, soon())("John")

        assert await docket.clear() == 2
        go_on.set()
        assert await first.get_result(timeout=timedelta(seconds=60)) == 1
    for one in (queued, scheduled):
        await one.sync()
        assert one.state is ExecutionState.CANCELLED


@pytest.mark.parametrize(
    ("operator", "value", "struck"),
    [
        ("==", 5, {5}),
        ("!=", 5, {4, 6}),
        (">", 5, {6}),
        (">=", 5, {5, 6}),
        ("<", 5, {4}),
        ("<=", 5, {4, 5}),
        ("between", (5, 6), {5, 6}),
        (Operator.EQUAL, 5, {5}),
    ],
)
async def test_every_operator_strikes_and_is_restored(
    docket: Docket, operator: Any, value: Any, struck: set[int]
) -> None:
    async def work(amount: int) -> None: ...

    async def dispositions() -> set[int]:
        added = [await docket.add(work)(amount) for amount in (4, 5, 6)]
        return {one.args[0] for one in added if one.disposition is Disposition.STRUCK}

    await docket.strike(work, "amount", operator, value)
    assert await dispositions() == struck
    await docket.restore(work, "amount", operator, value)
    assert await dispositions() == set()


async def test_a_strike_sees_what_a_parameter_has_by_default(docket: Docket) -> None:
    await docket.strike(greet, "greeting", "==", "Hello")

    assert (await docket.add(greet)("Jane")).disposition is Disposition.STRUCK
    assert (await docket.add(greet)("Jane", "Hi")).disposition is Disposition.SCHEDULED


async def test_a_strike_without_a_function_is_for_any_and_so_is_a_star(docket: Docket) -> None:
    async def other(name: str) -> None: ...

    for any_function in (None, "*"):
        await docket.strike(any_function, "name", "==", "acme")
        for function in (greet, other):
            assert (await docket.add(function)("acme")).disposition is Disposition.STRUCK
            assert (await docket.add(function)("Jane")).disposition is Disposition.SCHEDULED
        await docket.restore(any_function, "name", "==", "acme")
    await docket.strike("greet", "*")
    assert (await docket.add(greet)("Jane")).disposition is Disposition.STRUCK
    assert (await docket.add(other)("Jane")).disposition is Disposition.SCHEDULED


async def test_arguments_that_do_not_fit_the_task_are_refused_struck_or_not(
    docket: Docket,
) -> None:
    await docket.strike(greet, "name", "==", "Jane")

    with pytest.raises(TypeError, match=r"fit greet\(.*\): too many positional arguments"):
        await docket.add(greet)("Jane", "Hello", "and", "more")  # type: ignore[call-arg]


async def test_a_bad_operator_and_a_value_that_can_not_be_hashed_are_refused(
    docket: Docket,
) -> None:
    with pytest.raises(ValueError, match="like"):
        await docket.strike(greet, "name", "like", "J%")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unhashable"):
        await docket.strike(greet, "name", "==", ["Jane"])  # type: ignore[arg-type]


async def test_strikes_are_loaded_when_it_is_entered(url: str, name: str, docket: Docket) -> None:
    await docket.strike(greet)
    async with Docket(name, url) as other:
        await other.wait_for_strikes_loaded()

        assert (await other.add(greet)("Jane")).disposition is Disposition.STRUCK


async def test_strike_then_restore_brings_an_automatic_perpetual_back(
    docket: Docket, worker: Worker
) -> None:
    runs = asyncio.Queue[int]()

    async def tick(
        perpetual: Perpetual = Perpetual(every=timedelta(milliseconds=50), automatic=True),
    ) -> None:
        runs.put_nowait(1)

    docket.register(tick)
    docket.heartbeat_interval = timedelta(milliseconds=50)
    async with working(worker):
        await asyncio.wait_for(runs.get(), 60)
        await docket.strike(tick)

        async def is_gone() -> bool:
            return (await docket.snapshot()).total_tasks == 0

        await until(is_gone)
        while not runs.empty():
            runs.get_nowait()
        await docket.restore(tick)
        await asyncio.wait_for(runs.get(), 60)


async def test_a_snapshot_tells_what_waits_what_runs_and_who_works(
    docket: Docket, worker: Worker
) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        running.set()
        await go_on.wait()

    await docket.add(work, key="running")()
    async with working(worker):
        await running.wait()
        await docket.add(greet, soon(), "future")("Jane")
        snapshot = await docket.snapshot()
        workers = await docket.workers()
        knowing = await docket.task_workers("work")
        go_on.set()

    assert snapshot.taken.tzinfo is not None
    assert snapshot.total_tasks == 2
    assert [one.key for one in snapshot.future] == ["future"]
    assert [(one.key, one.worker) for one in snapshot.running] == [("running", worker.name)]
    assert snapshot.running[0].started.tzinfo is not None
    assert [one.name for one in snapshot.workers] == [worker.name]
    assert [one.name for one in workers] == [one.name for one in knowing] == [worker.name]
    (info,) = workers
    assert info.last_seen.tzinfo is not None
    assert "work" in info.tasks


async def test_a_snapshot_of_a_server_that_was_emptied_is_empty(docket: Docket) -> None:
    async with docket.redis() as client:
        await client.delete(docket.stream_key)

    assert (await docket.snapshot()).total_tasks == 0


async def test_redis_is_a_client_for_data_of_the_programs_own(docket: Docket) -> None:
    plain, table, locked = docket.key("own:plain"), docket.key("own:table"), docket.key("own:lock")
    async with docket.redis() as client:
        await client.set(plain, "value", ex=60)
        assert await client.get(plain) == b"value"
        await client.hset(table, mapping={"field": "value"})  # type: ignore[misc]
        assert await client.hget(table, "field") == b"value"  # type: ignore[misc]
        assert await client.expire(table, 60)
        assert 0 < await client.ttl(table) <= 60
        async with client.pipeline() as pipeline:
            pipeline.set(plain, "other")
            pipeline.expire(plain, 60)
            pipeline.get(plain)
            assert (await pipeline.execute())[-1] == b"other"
        async with client.lock(locked, timeout=10):
            assert await client.exists(locked)
        assert not await client.exists(locked)
        assert await client.delete(plain, table) == 2


async def test_keys_begin_with_the_prefix_and_labels_name_the_docket(docket: Docket) -> None:
    keys = [
        docket.key("own"),
        docket.queue_key,
        docket.stream_key,
        docket.runs_key("key"),
        docket.known_task_key("key"),
        docket.stream_id_key("key"),
        docket.parked_task_key("key"),
        docket.cancel_channel("key"),
        docket.redelivery_sweep_key,
        docket.results_collection,
        docket.workers_set,
        docket.worker_tasks_set("worker"),
        docket.task_workers_set("greet"),
        docket.strike_list.strike_key,
    ]

    assert all(key.startswith(f"{docket.prefix}:") for key in keys)
    assert docket.key("own") == f"{docket.prefix}:own"
    assert docket.prefix in (docket.name, f"{{{docket.name}}}")
    assert docket.worker_group_name == "docket-workers"
    assert dict(docket.labels()) == {"docket.name": docket.name}


async def test_the_key_properties_name_what_is_there(docket: Docket, worker: Worker) -> None:
    running, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        running.set()
        await go_on.wait()

    await docket.add(greet, soon(), "future")("Jane")
    await docket.add(work, key="running")()
    async with working(worker), docket.redis() as client:
        await running.wait()
        for key in (
            docket.queue_key,
            docket.stream_key,
            docket.runs_key("running"),
            docket.known_task_key("running"),
            docket.stream_id_key("running"),
            docket.parked_task_key("future"),
            docket.workers_set,
            docket.worker_tasks_set(worker.name),
            docket.task_workers_set("work"),
            docket.redelivery_sweep_key,
        ):
            assert await client.exists(key), key
        await docket.cancel("future")
        await client.publish(docket.cancel_channel("running"), "running")  # type: ignore[union-attr]
        go_on.set()


@pytest.mark.thorough
async def test_a_key_that_is_left_in_running_does_not_block_later_adds_for_good(
    docket: Docket, worker: Worker
) -> None:
    execution = await docket.add(greet, key="key")("Jane")
    assert await execution.claim("a worker that dies")

    assert (await docket.add(greet, key="key")("John")).disposition is (
        Disposition.ALREADY_SCHEDULED
    )
    await worker.run_until_finished()

    assert (await docket.add(greet, key="key")("John")).disposition is Disposition.SCHEDULED


@pytest.mark.parametrize("trace", ["strikes", "stream", "future", "legacy future", "workers"])
async def test_a_docket_that_the_other_implementation_wrote_is_refused(
    url: str, docket: Docket, trace: str
) -> None:
    name = f"{docket.name}-other"
    prefix = docket.prefix.replace(docket.name, name)
    message = {"key": "k", "when": "2030-01-01T00:00:00+00:00", "function": "f", "args": b""}
    async with docket.redis() as raw:
        client: Any = raw
        match trace:
            case "strikes":
                await client.xadd(f"{prefix}:strikes", {"direction": "strike"})
            case "stream":
                await client.xadd(f"{prefix}:stream", message)
            case "future":
                await client.zadd(f"{prefix}:queue", {"k": 1893456000.0})
                await client.hset(f"{prefix}:runs:k", mapping={"function": "f"})
            case "legacy future":
                await client.zadd(f"{prefix}:queue", {"k": 1893456000.0})
                await client.hset(f"{prefix}:k", mapping=message)
            case _:
                await client.zadd(f"{prefix}:workers", {"host#1": 1893456000.0})

        with pytest.raises(ForeignData, match="written by another program"):
            async with Docket(name, url):
                pass


async def test_names_that_are_built_in_scripts_work_for_a_user_of_least_privilege(
    docket: Docket, worker: Worker
) -> None:
    await docket.strike(greet, "name", "==", "acme")
    executions = await docket.add_many(docket.call(greet)(str(number)) for number in range(20))
    await worker.run_until_finished()

    assert [await one.get_result() for one in executions] == [f"Hello, {n}" for n in range(20)]


async def test_a_url_may_have_the_words_that_redis_py_knows(url: str, name: str) -> None:
    words = (
        "socket_timeout=5&socket_connect_timeout=2&max_connections=20&protocol=3&client_name=orders"
        "&health_check_interval=30&retry_on_timeout=true&socket_keepalive=true&timeout=20"
    )
    wordy = url if url.startswith("memory://") else f"{url}?{words}"

    async with Docket(name, wordy) as docket, Worker(docket) as worker, docket.redis() as client:
        execution = await docket.add(greet)("Jane")
        await worker.run_until_finished()
        assert await execution.get_result() == "Hello, Jane"
        await client.set(docket.key("own"), b"bytes")
        assert await client.get(docket.key("own")) == b"bytes"
