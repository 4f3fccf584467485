"""What the worker promises, on every kind of server."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import Docket, ExecutionState, Perpetual, Worker
from docket.errors import LeaseLost, Undecodable
from docket.foundation.policy import RetryPolicy, TaskPolicy, Upcast
from docket.storage.claims import (
    Claimed,
    ClaimReply,
    Claims,
    Consumer,
    Settlement,
    Verdict,
    release,
)
from docket.storage.executions import NewExecution
from docket.storage.scripting.nonces import FRESH
from docket.worker.services import round_trips
from tests.conformance.conftest import LEASE, until, working
from tests.routing import route
from tests.stores import Endless


async def nothing(number: int = 0) -> int:
    return number


def soon(seconds: float = 60) -> datetime:
    return datetime.now(timezone.utc) + timedelta(seconds=seconds)


async def state_of(docket: Docket, key: str) -> ExecutionState | None:
    execution = await docket.get_execution(key)
    return None if execution is None else execution.state


async def settled(docket: Docket, key: str) -> bool:
    state = await state_of(docket, key)
    return state is not None and state.is_terminal


def exchange_of(docket: Docket, consumer: str, lease: timedelta = LEASE) -> Claims:
    """What a worker holds in its hands: claims and settlements, one by one."""
    milliseconds = int(lease / timedelta(milliseconds=1))
    claimant = Consumer(consumer, consumer, ("default",), milliseconds, 60_000, 60_000)
    return docket.storage.exchange(claimant)


async def claim(exchange: Claims, slots: int = 10) -> ClaimReply:
    _, catch = await exchange.trade([], slots)
    assert catch is not None
    return catch


def completed(claimed: Claimed) -> Settlement:
    return Settlement(
        claimed.message,
        claimed.queue,
        claimed.key,
        claimed.generation,
        claimed.fence,
        "completed",
        ttl=60_000,
    )


async def test_everything_that_is_due_is_run_once(docket: Docket, worker: Worker) -> None:
    runs: list[int] = []

    async def note(number: int) -> None:
        runs.append(number)

    docket.register(note)
    await docket.add_many([docket.call(note)(number) for number in range(120)])

    await worker.run_until_finished()

    assert sorted(runs) == list(range(120))
    assert worker.tally.counts["docket_tasks_succeeded", "note"] == 120


async def test_no_more_run_at_a_time_than_there_are_slots(docket: Docket) -> None:
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    docket.register(work)
    await docket.add_many([docket.call(work)() for _ in range(30)])
    async with Worker(docket, concurrency=4) as worker:
        await worker.run_until_finished()

    assert most == 4


async def test_future_executions_run_when_they_are_due_and_in_order(
    docket: Docket, worker: Worker
) -> None:
    runs: list[tuple[int, datetime]] = []

    async def note(number: int) -> None:
        runs.append((number, datetime.now(timezone.utc)))

    docket.register(note)
    # In one round trip: none of them may be due before the last one is there.
    start = soon(1.5)
    dues = [start + timedelta(milliseconds=80 * number) for number in range(4)]
    await docket.add_many(docket.call(note, when=dues[number])(number) for number in (2, 0, 3, 1))
    await worker.run_until_finished()

    assert [number for number, _ in runs] == [0, 1, 2, 3]
    assert all(at >= dues[number] - timedelta(milliseconds=2) for number, at in runs)


async def test_an_idle_worker_is_woken_by_an_add(
    docket: Docket, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It takes no look on its own before the end of the test.
    monkeypatch.setattr(round_trips, "FALLBACK", 600.0)
    async with working(worker):
        await until(lambda: _is(worker.in_flight == 0))
        docket.register(nothing)
        execution = await docket.add(nothing)(7)
        assert await execution.get_result(timeout=timedelta(seconds=60)) == 7


async def _is(value: bool) -> bool:
    return value


async def test_a_plain_function_runs_in_a_thread(docket: Docket, worker: Worker) -> None:
    def where(number: int) -> tuple[str, int]:
        return threading.current_thread().name, number

    docket.register(where)
    execution = await docket.add(where)(3)
    await worker.run_until_finished()

    thread, number = await execution.get_result()
    assert thread.startswith("docket-task")
    assert number == 3


async def test_a_plain_function_that_gives_a_coroutine_is_awaited(
    docket: Docket, worker: Worker
) -> None:
    def wrapped(number: int) -> object:
        return nothing(number)

    docket.register(wrapped)
    execution = await docket.add(wrapped)(3)
    await worker.run_until_finished()

    assert await execution.get_result() == 3


async def test_a_failing_task_is_tried_again_and_succeeds(docket: Docket, worker: Worker) -> None:
    attempts: list[int] = []

    async def flaky() -> str:
        attempts.append(len(attempts) + 1)
        if len(attempts) < 3:
            raise RuntimeError("not yet")
        return "done"

    docket.register(flaky)
    retry = RetryPolicy(attempts=5, delay=timedelta(milliseconds=10))
    docket.registry.apply_policies({"flaky": TaskPolicy(retry=retry)})
    execution = await docket.add(flaky)()
    await worker.run_until_finished()

    assert await execution.get_result() == "done"
    assert attempts == [1, 2, 3]
    assert execution.attempt == 3


async def test_a_task_that_fails_for_good_becomes_a_dead_letter(
    docket: Docket, worker: Worker
) -> None:
    async def hopeless() -> None:
        raise RuntimeError("never")

    docket.register(hopeless)
    retry = RetryPolicy(attempts=2)
    docket.registry.apply_policies({"hopeless": TaskPolicy(retry=retry)})
    execution = await docket.add(hopeless)()
    await worker.run_until_finished()
    await execution.sync()

    assert (execution.state, execution.attempt) == (ExecutionState.FAILED, 2)
    assert (execution.reason, execution.error) == ("failed", "RuntimeError: never")
    async with docket.redis() as client:
        assert await client.zrange(docket.key("dead"), 0, -1) == [execution.key.encode()]


async def test_a_dead_letter_that_is_added_again_is_none_any_more(
    docket: Docket, worker: Worker
) -> None:
    async def fail() -> None:
        raise RuntimeError

    docket.register(fail)
    docket.register(nothing)
    await docket.add(fail, key="key")()
    await worker.run_until_finished()
    await docket.add(nothing, key="key")()

    async with docket.redis() as client:
        assert await client.zcard(docket.key("dead")) == 0


async def test_a_task_that_takes_too_long_times_out(docket: Docket, worker: Worker) -> None:
    async def slow() -> None:
        await asyncio.sleep(60)

    docket.register(slow)
    docket.registry.apply_policies({"slow": TaskPolicy(timeout=timedelta(milliseconds=30))})
    execution = await docket.add(slow)()
    await worker.run_until_finished()

    with pytest.raises(asyncio.TimeoutError):
        await execution.get_result()


async def _older(*args: Any, **kwargs: Any) -> None: ...


def _plainly(number: int = 0) -> None: ...


@pytest.mark.parametrize("task", [nothing, _plainly])
async def test_arguments_that_do_not_fit_the_task_are_a_dead_letter_at_once(
    docket: Docket, worker: Worker, task: Any
) -> None:
    docket.register(_older, ["nothing"])
    execution = await docket.add("nothing")(1, 2, 3)
    docket.register(task, ["nothing"], replace=True)
    docket.registry.apply_policies({"nothing": TaskPolicy(retry=RetryPolicy(attempts=None))})
    await worker.run_until_finished()
    await execution.sync()

    assert execution.reason == "signature"
    assert execution.error is not None
    assert "fit nothing(number" in execution.error


async def test_a_payload_that_does_not_decode_is_a_dead_letter_with_its_bytes(
    docket: Docket, worker: Worker
) -> None:
    docket.register(nothing)
    hostile = b"\xff\x00 no payload at all"
    await docket.storage.executions.schedule([NewExecution("key", FRESH, 0, "nothing", hostile)])
    good = await docket.add(nothing)(5)
    await worker.run_until_finished()

    (record,) = await docket.storage.executions.read("key")
    execution = await docket.get_execution("key")
    assert record is not None
    assert (record.state, record.reason, record.call) == (
        ExecutionState.FAILED,
        "undecodable",
        hostile,
    )
    assert execution is not None
    with pytest.raises(Undecodable):
        await execution.get_result()
    assert await good.get_result() == 5


async def test_an_unknown_task_is_parked_until_a_worker_knows_it(
    docket: Docket, worker: Worker
) -> None:
    docket.register(nothing, ["tomorrow's task"])
    execution = await docket.add("tomorrow's task")(9)
    del docket.tasks["tomorrow's task"]

    await worker.run_until_finished()
    await execution.sync()
    assert (execution.state, execution.reason) == (ExecutionState.PARKED, "unknown_task")
    assert worker.tally.counts["docket_tasks_parked", "tomorrow's task"] == 1

    docket.register(nothing, ["tomorrow's task"])
    async with Worker(docket) as newer, working(newer):
        assert await execution.get_result(timeout=timedelta(seconds=60)) == 9
    async with docket.redis() as client:
        assert await client.zcard(docket.key("parked")) == 0


def _of_shape(docket: Docket, schema: int, upcast: Upcast | None = None) -> None:
    docket.registry.apply_policies({"greet": TaskPolicy(args_schema=schema, upcast=upcast)})


async def _greet(name: str, punctuation: str) -> str:
    return name + punctuation


def _with_punctuation(
    schema: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    assert schema == 1
    return args, {**kwargs, "punctuation": "!"}


async def test_arguments_of_an_older_shape_are_brought_up(docket: Docket, worker: Worker) -> None:
    docket.register(_older, ["greet"])
    execution = await docket.add("greet")("Jane")
    docket.register(_greet, ["greet"], replace=True)
    _of_shape(docket, 2, _with_punctuation)

    await worker.run_until_finished()

    assert await execution.get_result() == "Jane!"


async def test_an_upcast_that_fails_is_told_with_the_dead_letter(
    docket: Docket, worker: Worker
) -> None:
    docket.register(_older, ["greet"])
    execution = await docket.add("greet")("Jane")
    docket.register(_greet, ["greet"], replace=True)

    def upcast(schema: int, *_: Any) -> Any:
        raise KeyError(schema)

    _of_shape(docket, 2, upcast)
    await worker.run_until_finished()

    with pytest.raises(Undecodable, match="could not bring them up from 1: KeyError: 1"):
        await execution.get_result()


async def test_a_shape_that_is_not_known_is_parked_until_a_worker_knows_it(
    docket: Docket, worker: Worker
) -> None:
    docket.register(_older, ["greet"])
    await route(docket.storage, {}, {"greet": 2})
    newer = await docket.add("greet")("Jane", "?")
    await route(docket.storage, {}, {})
    older = await docket.add("greet")("John")
    docket.register(_greet, ["greet"], replace=True)

    _of_shape(docket, 3)
    await worker.run_until_finished()
    await newer.sync()
    await older.sync()
    assert (newer.state, newer.reason) == (ExecutionState.PARKED, "args_schema 2")
    assert (older.state, older.reason) == (ExecutionState.PARKED, "args_schema 1")

    _of_shape(docket, 2, _with_punctuation)
    async with Worker(docket) as other, working(other):
        assert await newer.get_result(timeout=timedelta(seconds=60)) == "Jane?"
        assert await older.get_result(timeout=timedelta(seconds=60)) == "John!"


async def test_what_a_task_puts_in_the_place_of_its_arguments_is_of_the_shape_of_now(
    docket: Docket, worker: Worker
) -> None:
    calls: list[tuple[str, str]] = []

    async def greet(name: str, punctuation: str, perpetual: Perpetual = Perpetual()) -> None:
        calls.append((name, punctuation))
        if len(calls) == 1:
            perpetual.perpetuate("John", "?")
        else:
            perpetual.cancel()

    docket.register(_older, ["greet"])
    await docket.add("greet", key="key")("Jane")
    docket.register(greet, ["greet"], replace=True)
    await route(docket.storage, {}, {"greet": 2})
    _of_shape(docket, 2, _with_punctuation)

    await worker.run_until_finished()

    assert calls == [("Jane", "!"), ("John", "?")]


async def test_what_a_worker_frees_is_not_parked_again_by_one_that_waits_and_does_not_know_it(
    docket: Docket, worker: Worker
) -> None:
    """A worker of an older revision stands at the bell first, and would park it again and again."""
    async with working(worker), Docket(docket.name, docket.url) as newer_docket:
        newer_docket.register(nothing, ["tomorrow's task"])
        executions = [await newer_docket.add("tomorrow's task")(number) for number in range(3)]

        async def all_are_parked() -> bool:
            return worker.tally.counts["docket_tasks_parked", "tomorrow's task"] == 3

        await until(all_are_parked)
        async with Worker(newer_docket) as newer, working(newer):
            for number, execution in enumerate(executions):
                assert await execution.get_result(timeout=timedelta(seconds=60)) == number

    assert worker.tally.counts["docket_tasks_parked", "tomorrow's task"] == 3


async def test_a_parked_execution_can_be_cancelled(docket: Docket, worker: Worker) -> None:
    docket.register(nothing)
    execution = await docket.add(nothing, key="key")()
    del docket.tasks["nothing"]
    await worker.run_until_finished()

    await docket.cancel(execution.key)

    assert await state_of(docket, "key") is ExecutionState.CANCELLED


async def test_a_fallback_task_is_called_in_the_place_of_unknown_ones(docket: Docket) -> None:
    async def fallback(*args: int, **kwargs: int) -> list[int]:
        return [*args, *kwargs.values()]

    docket.register(nothing)
    execution = await docket.add("nothing")(4)
    del docket.tasks["nothing"]
    async with Worker(docket, fallback_task=fallback) as worker:
        await worker.run_until_finished()

    assert await execution.get_result() == [4]


async def test_a_running_execution_is_cancelled_at_its_next_checkpoint(
    docket: Docket, worker: Worker
) -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.sleep(60)

    docket.register(wait)
    execution = await docket.add(wait)()
    async with working(worker):
        await begun.wait()
        await docket.cancel(execution.key)
        await until(lambda: settled(docket, execution.key))

    assert await state_of(docket, execution.key) is ExecutionState.CANCELLED


async def test_a_cancellation_that_was_not_heard_is_found_with_the_lease(
    docket: Docket, worker: Worker
) -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.sleep(60)

    docket.register(wait)
    execution = await docket.add(wait)()
    async with working(worker):
        await begun.wait()
        async with docket.redis() as client:
            await client.hset(docket.runs_key(execution.key), "cancel", "1")
        await until(lambda: settled(docket, execution.key), seconds=LEASE.total_seconds())

    assert await state_of(docket, execution.key) is ExecutionState.CANCELLED


async def test_a_retry_of_a_cancelled_execution_is_cancelled_instead(
    docket: Docket, worker: Worker
) -> None:
    async def fail_after_cancel() -> None:
        async with docket.redis() as client:
            await client.hset(docket.runs_key("key"), "cancel", "1")
        raise RuntimeError

    docket.register(fail_after_cancel)
    policy = TaskPolicy(retry=RetryPolicy(attempts=None))
    docket.registry.apply_policies({"fail_after_cancel": policy})
    await docket.add(fail_after_cancel, key="key")()
    await worker.run_until_finished()

    assert await state_of(docket, "key") is ExecutionState.CANCELLED


async def test_a_replaced_running_execution_ends_without_touching_its_successor(
    docket: Docket, worker: Worker
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def work(who: str) -> str:
        if who == "old":
            begun.set()
            await go_on.wait()
        ended.append(who)
        return who

    docket.register(work)
    await docket.add(work, key="key")("old")
    async with working(worker):
        await begun.wait()
        replaced = await docket.replace(work, when=soon(-1), key="key")("new")
        assert await replaced.get_result(timeout=timedelta(seconds=60)) == "new"
        go_on.set()

    assert ended == ["new", "old"]
    assert await replaced.get_result() == "new"
    assert worker.tally.counts["docket_tasks_superseded", "work"] == 1


async def test_strikes_keep_a_queued_execution_from_running(docket: Docket, worker: Worker) -> None:
    docket.register(nothing)
    by_task = await docket.add(nothing, key="by task")(1)
    await docket.strike(nothing)
    await worker.run_until_finished()
    await docket.restore(nothing)

    by_argument = await docket.add(nothing, key="by argument")(2)
    await docket.strike(nothing, "number", ">=", 2)
    await worker.run_until_finished()

    for execution in (by_task, by_argument):
        await execution.sync()
        assert (execution.state, execution.reason) == (ExecutionState.CANCELLED, "struck")
    assert worker.tally.counts["docket_tasks_stricken", "nothing"] == 2


async def test_a_key_runs_at_most_so_many_times(docket: Docket, worker: Worker) -> None:
    runs: list[str] = []

    async def again(who: str) -> None:
        runs.append(who)
        raise RuntimeError

    docket.register(again)
    docket.registry.apply_policies({"again": TaskPolicy(retry=RetryPolicy(attempts=4))})
    await docket.add(again, key="bounded")("bounded")
    await docket.add(again, key="free")("free")
    await worker.run_at_most({"bounded": 2})

    assert (runs.count("bounded"), runs.count("free")) == (2, 4)


async def _served(docket: Docket) -> dict[str, str]:
    """The queues that each worker says it serves."""
    async with docket.redis() as client:
        told: dict[bytes, bytes] = await client.hgetall(docket.key("worker-queues"))  # type: ignore[assignment]
    return {name.decode(): queues.decode() for name, queues in told.items()}


async def test_a_worker_takes_work_of_its_queues_in_their_order(docket: Docket) -> None:
    runs: list[str] = []

    async def note(who: str) -> None:
        runs.append(who)

    for name in ("first", "second", "third"):
        docket.register(note, [name])
    await route(docket.storage, {"first": "urgent", "third": "elsewhere"})
    for name in ("third", "second", "first"):
        await docket.add(name, key=name)(name)
    async with Worker(docket, concurrency=1, queues=["urgent", "default"]) as worker:
        async with working(worker):
            await until(lambda: _is(len(runs) == 2))
            assert runs == ["first", "second"]
            assert await _served(docket) == {worker.name: "urgent\ndefault"}
            await worker.work_on(["elsewhere"])
            await worker.work_on(["elsewhere"])
            await until(lambda: _is(len(runs) == 3))
            while await _served(docket) != {worker.name: "elsewhere"}:
                await asyncio.sleep(0.01)
    assert await _served(docket) == {}
    assert (await docket.snapshot()).total_tasks == 0


async def test_a_queue_that_stands_behind_a_full_one_is_not_starved(docket: Docket) -> None:
    order: list[str] = []

    async def urgent() -> None:
        order.append("urgent")

    async def patient() -> None:
        order.append("patient")

    await route(docket.storage, {"urgent": "urgent"})
    await docket.add_many(docket.call(urgent)() for _ in range(30))
    await docket.add(patient)()
    async with Worker(docket, concurrency=1, queues=["urgent", "default"]) as worker:
        await worker.run_until_finished()

    assert order[0] == "urgent"
    assert order.index("patient") < 12


async def test_a_future_execution_goes_to_the_queue_of_its_task(docket: Docket) -> None:
    docket.register(nothing)
    await route(docket.storage, {"nothing": "mail"})
    execution = await docket.add(nothing, when=soon(0.1))(4)
    async with Worker(docket) as other, Worker(docket, queues=["mail"]) as mail:
        async with working(other), working(mail):
            assert await execution.get_result(timeout=timedelta(seconds=60)) == 4
    assert other.tally.counts["docket_tasks_started", "nothing"] == 0


async def test_concurrency_can_be_changed_while_tasks_run(docket: Docket) -> None:
    begun = 0
    go_on = asyncio.Event()

    async def wait() -> None:
        nonlocal begun
        begun += 1
        await go_on.wait()

    docket.register(wait)
    await docket.add_many([docket.call(wait)() for _ in range(6)])
    async with Worker(docket, concurrency=2) as worker, working(worker):
        await until(lambda: _is(begun == 2))
        worker.concurrency = 5
        await until(lambda: _is(begun == 5))
        go_on.set()
    with pytest.raises(ValueError, match="concurrency must be at least 1, got 0"):
        Worker(docket, concurrency=0)


async def test_cancelling_a_worker_lets_it_finish_what_runs(docket: Docket, worker: Worker) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        begun.set()
        await go_on.wait()
        return "finished"

    docket.register(work)
    execution = await docket.add(work)()
    running = asyncio.create_task(worker.run_forever())
    await begun.wait()
    running.cancel()
    await until(lambda: _is(not worker._round_trips._claiming))
    await worker._round_trips.until_landed()
    waiting = await docket.add(work)()
    await asyncio.sleep(0.05)
    assert not running.done()
    go_on.set()

    assert await running is None  # type: ignore[func-returns-value]
    assert await execution.get_result() == "finished"
    assert await state_of(docket, waiting.key) is ExecutionState.QUEUED
    assert await docket.workers() == []


async def test_a_drain_hands_back_what_does_not_finish_in_time(
    docket: Docket, worker: Worker
) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        await asyncio.sleep(60)

    docket.register(work)
    execution = await docket.add(work)()
    async with working(worker):
        await begun.wait()
        await worker.drain(timedelta(milliseconds=50))
        await execution.sync()

        assert (execution.state, execution.attempt) == (ExecutionState.QUEUED, 1)
    assert worker.tally.counts["docket_tasks_interrupted", "work"] == 1


async def test_a_lease_is_kept_as_long_as_a_task_runs(docket: Docket) -> None:
    runs: list[int] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def long() -> None:
        runs.append(1)
        begun.set()
        await go_on.wait()

    async def end_of(worker: Worker) -> float:
        async with docket.redis() as client:
            end = await client.zscore(docket.storage.keys.leases, worker.consumer)
        assert end is not None
        return end

    docket.register(long)
    await docket.add(long)()
    async with Worker(docket) as first, Worker(docket) as second:
        first._leases._interval = 0.1
        async with working(first):
            await begun.wait()
            end = await end_of(first)

            async def is_kept_for_long() -> bool:
                return await end_of(first) > end + 1000

            async with working(second):
                await until(is_kept_for_long)
            go_on.set()

    assert runs == [1]


async def test_a_task_that_blocks_the_event_loop_keeps_its_lease_and_is_reported(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[int] = []

    async def block() -> None:
        runs.append(1)
        time.sleep(1.6)

    docket.register(block)
    execution = await docket.add(block)()
    with caplog.at_level(logging.WARNING, "docket.worker"):
        async with Worker(docket, redelivery_timeout=timedelta(milliseconds=1200)) as worker:
            await worker.run_until_finished()
    await execution.sync()

    assert runs == [1]
    assert execution.state is ExecutionState.COMPLETED
    reports = [record.getMessage() for record in caplog.records if "event loop" in record.message]
    # A machine that keeps everybody waiting blocks the loop elsewhere, too.
    assert len([report for report in reports if "in block" in report]) == 1


async def test_a_task_whose_lease_was_lost_is_told(docket: Docket) -> None:
    begun = asyncio.Event()
    told: list[str] = []

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except LeaseLost as error:
            told.append(str(error))
            raise

    docket.register(work)
    execution = await docket.add(work)()
    async with Worker(docket, redelivery_timeout=timedelta(seconds=6)) as worker:
        async with working(worker):
            await begun.wait()
            async with docket.redis() as client:
                await client.hincrby(docket.runs_key(execution.key), "fence", 1)
                await client.hset(docket.runs_key(execution.key), "consumer", "another:1")
            await until(lambda: _is(bool(told)))

    assert "another worker has taken it over" in told[0]
    assert await state_of(docket, execution.key) is ExecutionState.RUNNING


async def test_a_task_may_ignore_that_its_lease_was_lost_and_is_refused(docket: Docket) -> None:
    begun = asyncio.Event()

    async def stubborn() -> str:
        begun.set()
        try:
            await asyncio.sleep(60)
        except LeaseLost:
            return "too late"
        return "never"

    docket.register(stubborn)
    execution = await docket.add(stubborn)()
    async with Worker(docket, redelivery_timeout=timedelta(seconds=6)) as worker:
        async with working(worker):
            await begun.wait()
            async with docket.redis() as client:
                await client.hincrby(docket.runs_key(execution.key), "fence", 1)
                await client.hset(docket.runs_key(execution.key), "consumer", "another:1")
            await until(
                lambda: _is(bool(worker.tally.counts["docket_tasks_superseded", "stubborn"]))
            )

    assert await state_of(docket, execution.key) is ExecutionState.RUNNING


async def test_a_run_whose_lease_was_lost_while_its_result_is_stored_writes_nothing(
    server_url: str, name: str
) -> None:
    store = Endless()
    async with Docket(name, server_url, result_storage=store) as docket:
        docket.register(nothing)
        execution = await docket.add(nothing)(8)
        async with Worker(docket, redelivery_timeout=timedelta(seconds=6)) as worker:
            async with working(worker):
                await asyncio.wait_for(store.begun.wait(), 60)
                async with docket.redis() as client:
                    await client.hincrby(docket.runs_key(execution.key), "fence", 1)
                    await client.hset(docket.runs_key(execution.key), "consumer", "another:1")
                await until(lambda: _is(worker.in_flight == 0))

        assert await state_of(docket, execution.key) is ExecutionState.RUNNING


async def test_a_silent_workers_execution_is_taken_over_after_its_lease(docket: Docket) -> None:
    docket.register(nothing)
    execution = await docket.add(nothing)(8)
    lease = timedelta(milliseconds=300)
    dead = exchange_of(docket, "dead", lease)
    assert len((await claim(dead)).claimed) == 1

    async with Worker(docket) as worker, working(worker):
        assert await execution.get_result(timeout=timedelta(seconds=60)) == 8
    await execution.sync()
    assert worker.tally.counts["docket_tasks_redelivered", "nothing"] == 1


async def test_released_work_is_taken_over_at_once(
    docket: Docket, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither the end of its lease nor a look of its own brings the worker there.
    monkeypatch.setattr(round_trips, "FALLBACK", 600.0)
    docket.register(nothing)
    execution = await docket.add(nothing)(8)
    await claim(exchange_of(docket, "dead", timedelta(minutes=10)))
    connection, keys = docket.storage.connection, docket.storage.keys

    async with working(worker):
        assert await release(connection, keys, "dead", ["default", "other"]) == 1
        assert await execution.get_result(timeout=timedelta(seconds=60)) == 8
    assert await release(connection, keys, "dead", ["default"]) == 0


async def test_three_crashes_make_a_dead_letter(docket: Docket, worker: Worker) -> None:
    docket.register(nothing)
    execution = await docket.add(nothing)()
    connection, keys = docket.storage.connection, docket.storage.keys
    for number in range(3):
        doomed = exchange_of(docket, f"doomed-{number}")
        (claimed,) = (await claim(doomed)).claimed
        assert claimed.crashes == number
        await release(connection, keys, f"doomed-{number}", ["default"])

    await worker.run_until_finished()
    await execution.sync()

    assert (execution.state, execution.reason) == (ExecutionState.FAILED, "crashed")
    assert worker.tally.counts["docket_tasks_dead", "nothing"] == 1
    assert worker.tally.counts["docket_tasks_started", "nothing"] == 0


async def test_an_outcome_is_recorded_once_and_by_the_latest_fence_only(docket: Docket) -> None:
    docket.register(nothing)
    await docket.add(nothing, key="key")()
    zombie, heir = exchange_of(docket, "zombie"), exchange_of(docket, "heir")
    (old,) = (await claim(zombie)).claimed
    await release(docket.storage.connection, docket.storage.keys, "zombie", ["default"])
    (new,) = (await claim(heir)).claimed

    assert new.fence > old.fence
    assert (await zombie.trade([completed(old)], 0))[0] == [Verdict.STALE]
    assert await state_of(docket, "key") is ExecutionState.RUNNING
    assert (await heir.trade([completed(new)], 0))[0] == [Verdict.RECORDED]
    assert (await heir.trade([completed(new)], 0))[0] == [Verdict.ALREADY]
    assert (await zombie.trade([completed(old)], 0))[0] == [Verdict.STALE]
    async with docket.redis() as client:
        await client.delete(docket.runs_key("key"))
    assert (await heir.trade([completed(new)], 0))[0] == [Verdict.GONE]


async def test_a_settlement_of_a_next_run_that_is_sent_twice_makes_one(docket: Docket) -> None:
    docket.register(nothing)
    await docket.add(nothing, key="key")()
    exchange = exchange_of(docket, "one")
    (claimed,) = (await claim(exchange)).claimed
    again = completed(claimed)._replace(word="again", attempt=2)

    assert (await exchange.trade([again], 0))[0] == [Verdict.RECORDED]
    assert (await exchange.trade([again], 0))[0] == [Verdict.ALREADY]
    (next_run,) = (await claim(exchange)).claimed
    assert (next_run.attempt, next_run.generation) == (2, 2)


async def test_an_outcome_of_an_older_generation_is_superseded(docket: Docket) -> None:
    docket.register(nothing)
    await docket.add(nothing, key="key")()
    exchange = exchange_of(docket, "one")
    (old,) = (await claim(exchange)).claimed
    await docket.replace(nothing, when=soon(), key="key")()

    assert (await exchange.trade([completed(old)], 0))[0] == [Verdict.SUPERSEDED]
    assert await state_of(docket, "key") is ExecutionState.SCHEDULED


async def test_after_a_lost_reply_a_worker_gets_what_it_was_given(docket: Docket) -> None:
    docket.register(nothing)
    await docket.add_many([docket.call(nothing, key=f"key-{n}")(n) for n in range(3)])
    exchange = exchange_of(docket, "one")
    lost = (await claim(exchange, 2)).claimed

    _, catch = await exchange.trade([], 10, holding=[lost[0].holder])

    assert catch is not None
    assert [(run.key, run.crashes) for run in catch.claimed] == [(lost[1].key, 0), ("key-2", 0)]
    assert catch.claimed[0].fence > lost[1].fence


async def test_an_emptied_server_is_worked_on_again(docket: Docket, worker: Worker) -> None:
    docket.register(nothing)
    async with working(worker):
        first = await docket.add(nothing)(1)
        assert await first.get_result(timeout=timedelta(seconds=60)) == 1
        async with docket.redis() as client:
            keys = [key async for key in client.scan_iter(f"{docket.prefix}:*")]
            for key in keys:
                await client.delete(key)
        second = await docket.add(nothing)(2)
        assert await second.get_result(timeout=timedelta(seconds=60)) == 2


async def test_a_server_that_has_forgotten_its_scripts_is_told_them_again(
    docket: Docket, worker: Worker
) -> None:
    docket.register(nothing)
    async with working(worker):
        async with docket.redis() as client:
            await client.script_flush()
        execution = await docket.add(nothing)(2)
        assert await execution.get_result(timeout=timedelta(seconds=60)) == 2


async def test_nothing_is_left_behind_but_what_expires(docket: Docket, worker: Worker) -> None:
    docket.register(nothing)
    await docket.add_many([docket.call(nothing, when=when)(1) for when in (None, soon(0.1))])
    await worker.run_until_finished()

    async with docket.redis() as client:
        kept = {
            key.decode().removeprefix(docket.prefix)
            async for key in client.scan_iter(f"{docket.prefix}:*")
            if await client.pttl(key) == -1
        }
        # The index of results is swept by the claims of workers.
        of_results = {":stored", ":stored:900000"}
        assert kept - of_results <= {":stream", ":queues", ":format", ":fence", ":bell"}
        assert await client.xlen(docket.stream_key) == 0
        groups = await client.xinfo_groups(docket.stream_key)
        assert [(group["pending"], group["consumers"]) for group in groups] == [(0, 0)]


async def test_a_worker_without_an_entered_docket_says_so(server_url: str, name: str) -> None:
    docket = Docket(name, server_url)
    with pytest.raises(RuntimeError, match="async with Docket"):
        await asyncio.wait_for(Worker(docket).run_forever(), 60)


async def test_a_key_that_holds_something_else_stops_nobody(docket: Docket, worker: Worker) -> None:
    docket.register(nothing)

    async def vandalize() -> None:
        async with docket.redis() as client:
            await client.set(docket.runs_key("settled"), "no record")

    docket.register(vandalize)
    async with docket.redis() as client:
        await docket.add(nothing, key="claimed")(1)
        await client.set(docket.runs_key("claimed"), "no record")
    await docket.add(vandalize, key="settled")()
    good = await docket.add(nothing)(3)
    await worker.run_until_finished()

    assert await good.get_result() == 3
    assert (await docket.snapshot()).total_tasks == 0


async def test_a_strike_that_can_not_be_read_does_not_hide_the_others(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    await docket.strike(nothing)
    async with docket.redis() as client:
        await client.hset(docket.key("strikes"), "rule:torn", b"\xff torn")
    await docket.strike_list.refresh()

    assert set(docket.strike_list.rules) == {"task:nothing"}
    assert "The strike rule:torn cannot be read" in caplog.text
