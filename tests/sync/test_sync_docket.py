"""A docket whose calls return when they are done, as plain functions are given one."""

from __future__ import annotations

import asyncio
import pickle
import threading
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import pytest

from docket import (
    CurrentSyncDocket,
    Disposition,
    Docket,
    Execution,
    ExecutionCancelled,
    ExecutionState,
    SyncDocket,
    Worker,
)
from docket.errors import Closed, WouldBlock, WrongArguments
from docket.execution import ExecutionProgress
from docket.insights.snapshot import StrikePreview
from docket.operations import Deed, Selection
from docket.storage.series import Cell, Row
from docket.sync import Bridge, SyncExecution
from tests.compat.conftest import soon, working

T = TypeVar("T")

PATIENCE = timedelta(seconds=20)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(f"sync-{uuid.uuid4().hex[:12]}", "memory://sync", config=False) as docket:
        docket.register(greet)
        yield docket


@pytest.fixture
async def sync(docket: Docket) -> SyncDocket:
    return SyncDocket.of(docket, Bridge.here())


async def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}"


async def in_thread(function: Callable[[], T]) -> T:
    return await asyncio.to_thread(function)


async def test_a_call_is_added_and_its_result_is_had(docket: Docket, sync: SyncDocket) -> None:
    def program() -> tuple[SyncExecution, SyncExecution, Any]:
        execution = sync.add(greet, key="one", tags=["a"])("Jane", greeting="Hi")
        later = sync.add("greet", soon(3600), "two")("Jane")
        again = sync.add("greet", key=later.key)("Jane")
        result = execution.get_result(timeout=PATIENCE)
        execution.sync()
        return execution, again, result

    async with Worker(docket) as worker, working(worker):
        execution, again, result = await in_thread(program)

    assert result == "Hi, Jane"
    assert execution.tags == ("a",)
    assert execution.options.queue is None
    assert (execution.key, execution.function_name, execution.attempt) == ("one", "greet", 1)
    assert (execution.args, execution.kwargs) == (("Jane",), {"greeting": "Hi"})
    assert again.disposition is Disposition.ALREADY_SCHEDULED
    assert execution.state is ExecutionState.COMPLETED
    assert execution.schedule_exception is None
    assert execution.fence
    assert execution.when <= datetime.now(timezone.utc)
    assert execution.worker == worker.name
    assert repr(execution).startswith("<SyncExecution greet(..., greeting=...){one}")


async def test_calls_are_replaced_cancelled_and_found(docket: Docket, sync: SyncDocket) -> None:
    def program() -> list[Any]:
        sync.add(greet, soon(3600), "one")("Jane")
        replaced = sync.replace(greet, soon(7200), "one")("John")
        found = sync.get_execution("one")
        assert found is not None
        assert found.get_argument("name") == "John"
        sync.cancel("one")
        found.sync()
        with pytest.raises(ExecutionCancelled):
            found.get_result()
        return [replaced.disposition, found.state, sync.get_execution("two")]

    assert await in_thread(program) == [Disposition.SCHEDULED, ExecutionState.CANCELLED, None]


async def test_calls_are_described_and_sent_together(docket: Docket, sync: SyncDocket) -> None:
    def program() -> list[str]:
        calls = [sync.call(greet, soon(3600), name)(name) for name in ("a", "b")]
        added = sync.add_many(iter(calls), chunk_size=1)
        replaced = sync.replace_many(calls)
        assert sync.clear() == 2
        return [one.key for one in (*added, *replaced)]

    assert await in_thread(program) == ["a", "b", "a", "b"]


async def test_what_a_docket_knows_is_known_here(docket: Docket, sync: SyncDocket) -> None:
    async def other() -> None: ...

    def program() -> None:
        sync.register(other, ["another"])
        assert sync.tasks["another"] is other
        assert [one.name for one in sync.workers()] == [worker.name]
        assert [one.name for one in sync.task_workers("greet")] == [worker.name]
        sync.strike(greet, "name", "==", "Jane", reason="gone")
        assert [rule.reason for rule in sync.strikes()] == ["gone"]
        assert sync.add(greet)("Jane").disposition is Disposition.STRUCK
        sync.restore(greet, "name", "==", "Jane")
        assert sync.strikes() == []

    async with Worker(docket) as worker, working(worker):
        await worker.until_started()
        await in_thread(program)
    assert (sync.name, sync.url, sync.labels()) == (docket.name, docket.url, docket.labels())
    assert sync.key("mine") == docket.key("mine")


async def test_errors_are_those_of_a_docket(docket: Docket, sync: SyncDocket) -> None:
    wrong: Any = greet

    def program() -> None:
        with pytest.raises(KeyError, match="Task 'nobody' is not registered"):
            sync.add("nobody")
        with pytest.raises(WrongArguments):
            sync.add(wrong)()
        with pytest.raises(WrongArguments):
            sync.call(wrong)("Jane", more=1)
        with pytest.raises(TimeoutError, match="Timeout waiting for execution"):
            sync.add(greet)("Jane").get_result(timeout=timedelta(milliseconds=1))
        with pytest.raises(AttributeError, match=r"found Execution\.claim; it is not to be had"):
            sync.add(greet)("Jane").claim  # noqa: B018
        with pytest.raises(AttributeError, match="has no attribute '_secret'"):
            sync.add(greet)("Jane")._secret  # noqa: B018

    await in_thread(program)


async def test_progress_is_told_and_read(docket: Docket, sync: SyncDocket) -> None:
    def program() -> tuple[Any, ...]:
        progress = sync.add(greet, soon(3600), "key")("Jane").progress
        progress.set_total(3)
        progress.increment(2)
        progress.set_message("two")
        other = sync.add(greet, soon(3600), "key")("Jane").progress
        other.sync()
        assert other.updated_at is not None
        return other.current, other.total, other.message

    assert await in_thread(program) == (2, 3, "two")


async def test_an_execution_is_followed_to_its_end(docket: Docket, sync: SyncDocket) -> None:
    followed = threading.Event()

    def program() -> list[Any]:
        found: list[Any] = []
        for event in sync.add(greet)("Jane").subscribe():
            found.append(event["state"] if event["type"] == "state" else event["current"])
            followed.set()
        return found

    following = asyncio.create_task(in_thread(program))
    await in_thread(followed.wait)
    async with Worker(docket) as worker, working(worker):
        found = await following

    assert (found[0], found[-1]) == (ExecutionState.QUEUED, ExecutionState.COMPLETED)


async def test_who_follows_no_longer_leaves_nothing_behind(
    docket: Docket, sync: SyncDocket
) -> None:
    def program() -> list[Any]:
        execution = sync.add(greet, soon(3600), "one")("Jane")
        told = execution.progress.subscribe()
        first = next(told)
        execution.progress.increment(2)
        second = next(told)
        told.close()
        return [first["current"], second["current"], execution.is_superseded()]

    assert await in_thread(program) == [None, 2, False]
    channel = docket.key("progress:one")
    async with docket.redis() as client:
        while (await client.pubsub_numsub(channel))[0][1]:
            await asyncio.sleep(0.001)


def test_who_follows_when_the_loop_has_ended_is_told() -> None:
    loop = asyncio.new_event_loop()
    bridge = Bridge(loop)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def numbers() -> AsyncGenerator[int, None]:
        for number in range(3):
            yield number

    found = bridge.stream(numbers)
    assert next(found) == 0
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    with pytest.raises(Closed, match="only as long as its worker or its program runs"):
        next(found)


async def test_a_snapshot_and_a_preview_are_those_of_the_docket(
    docket: Docket, sync: SyncDocket
) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        started.set()
        await ended.wait()

    def program() -> None:
        sync.wait_for_strikes_loaded()
        sync.register_collection("docket.tasks:standard_tasks")
        sync.add(greet, soon(3600), "later")("Jane")
        snapshot = sync.snapshot()
        assert [one.key for one in snapshot.future] == ["later"]
        assert [(one.function_name, one.worker) for one in snapshot.running] == [
            ("wait", worker.name)
        ]
        assert snapshot.running[0].started == snapshot.running[0].started_at
        assert (snapshot.running[0].completed_at, snapshot.running[0].error) == (None, None)
        assert (snapshot.total_tasks, len(snapshot.workers)) == (2, 1)
        assert sync.strike_preview(greet, "name", "==", "Jane") == StrikePreview(1, 0, 0, 0)

    await docket.add(wait)()
    async with Worker(docket) as worker, working(worker):
        await started.wait()
        await in_thread(program)
        ended.set()


NAMES = "the name of a key: who looks at Redis awaits docket.redis()"
RECORDED = "a worker records it, or a program that runs executions by hand, which awaits"
INNER = "what docket and worker need of it"
EXCEPTIONS: dict[type, dict[str, str]] = {
    Docket: {
        **dict.fromkeys(
            (
                *("cancel_channel", "known_task_key", "parked_task_key", "prefix", "queue_key"),
                *("redelivery_sweep_key", "results_collection", "runs_key", "stream_id_key"),
                *("stream_key", "task_workers_set", "worker_group_name", "worker_tasks_set"),
                "workers_set",
            ),
            NAMES,
        ),
        **dict.fromkeys(
            (
                "begin_anew",
                "dead_ttl",
                "dump_call",
                "record_ttl",
                "registry",
                "results",
                "serializer",
            ),
            INNER,
        ),
        **dict.fromkeys(("silence", "storage", "strike_list", "unanswered", "used_by"), INNER),
        **dict.fromkeys(
            (
                *("credential_provider", "enable_internal_instrumentation", "execution_ttl"),
                *("heartbeat_interval", "lazy", "missed_heartbeats"),
            ),
            "how a docket is made: this one is made so, too, and does not show it",
        ),
        "redis": "a client that is awaited",
        "result_storage": "a store that is awaited",
        "schedule": "takes an execution that was made by hand, which async code does",
    },
    Execution: {
        **dict.fromkeys(
            ("claim", "mark_as_cancelled", "mark_as_completed", "mark_as_failed", "schedule"),
            RECORDED,
        ),
        "from_message": "makes an execution by hand",
        "stored": INNER,
    },
    ExecutionProgress: {"create": INNER, "event": INNER, "take": INNER},
}


@pytest.mark.parametrize("kind", EXCEPTIONS, ids=lambda kind: kind.__name__)
async def test_what_one_has_the_other_has_unless_there_is_a_reason(
    docket: Docket, sync: SyncDocket, kind: type
) -> None:
    execution = await docket.add(greet, soon(3600))("Jane")
    awaited: dict[type, Any] = {
        Docket: docket,
        Execution: execution,
        ExecutionProgress: execution.progress,
    }
    blocking: dict[type, Any] = {
        Docket: sync,
        Execution: SyncExecution(execution, Bridge.here()),
        ExecutionProgress: SyncExecution(execution, Bridge.here()).progress,
    }

    names = {name for name in dir(awaited[kind]) if not name.startswith("_")}
    missing = {name for name in names if not hasattr(blocking[kind], name)}

    assert missing == EXCEPTIONS[kind].keys()


async def test_it_explains_as_the_other_does(docket: Docket, sync: SyncDocket) -> None:
    await docket.cancel((await docket.add(greet, key="k")("Jane")).key)

    explained = await in_thread(lambda: sync.insights.explain("k"))

    assert explained is not None
    assert explained.cause == "cancelled"
    assert await in_thread(lambda: sync.insights.explain_schedule("s")) is None
    assert await in_thread(lambda: sync.insights.stack("no such key")) is None
    assert [one.key for one in (await in_thread(sync.insights.history)).entries] == ["k"]
    assert [one.task for one in (await in_thread(sync.insights.stats)).tasks] == ["greet"]
    minute = await docket.storage.executions.now() // 60_000
    await docket.storage.series.add("w:1", 1, [Row(minute, "greet", "completed", Cell(1))])
    assert [one.task for one in (await in_thread(sync.insights.series)).tasks] == ["greet"]
    assert [one.name for one in (await in_thread(sync.insights.glance)).queues] == ["default"]
    events = (await in_thread(sync.insights.events)).events
    assert [one.ended and one.ended.key for one in events] == ["k"]


async def test_it_does_the_same_deeds(docket: Docket, sync: SyncDocket) -> None:
    failing = await docket.add("fail", key="k")("Woops!")
    async with Worker(docket) as worker:
        await worker.run_until_finished()

    (retried,) = await in_thread(lambda: sync.operations.retry("k", author="ann"))
    (discarded,) = await in_thread(lambda: sync.operations.discard("k"))
    await in_thread(lambda: sync.operations.pause_queues("default", author="ann"))
    resumed = await in_thread(lambda: sync.operations.resume_queues("default"))
    checked = await in_thread(lambda: sync.operations.check(repair=True))
    assert resumed == ["default"]
    assert (checked.is_well, checked.records) == (True, 1)

    await docket.add("trace", when=soon(3600), key="later")("hi")
    found = await in_thread(lambda: sync.operations.find(Selection(task="trace")))
    (due,) = await in_thread(lambda: sync.operations.run_now("later"))
    (left,) = await in_thread(lambda: sync.operations.release("later", dry_run=True))
    (cancelled,) = await in_thread(lambda: sync.operations.cancel(*found.matches))
    deeds = (due.deed, left.deed, cancelled.deed)
    assert deeds == (Deed.DUE, Deed.NOT_PARKED, Deed.CANCELLED)
    entries = (await in_thread(lambda: sync.insights.audit(author="ann"))).entries
    assert [one.record.verb for one in entries] == ["queue pause", "retry"]

    assert (retried.key, retried.deed) == ("k", Deed.RETRIED)
    assert discarded.deed is Deed.NOT_DEAD
    await failing.sync()
    assert failing.state.is_live


async def test_many_threads_use_one(docket: Docket, sync: SyncDocket) -> None:
    def program() -> list[str]:
        return [sync.add(greet, soon(3600))("Jane").key for _ in range(10)]

    keys = await asyncio.gather(*(in_thread(program) for _ in range(8)))

    assert len({key for some in keys for key in some}) == 80
    assert (await docket.snapshot()).total_tasks == 80


async def test_where_an_event_loop_runs_it_is_refused(docket: Docket, sync: SyncDocket) -> None:
    with pytest.raises(WouldBlock, match=r"task docket: Docket = CurrentDocket\(\)"):
        sync.add(greet)("Jane")

    assert (await docket.snapshot()).total_tasks == 0


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_loop_that_has_ended_is_told_of(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docket.sync.bridge.GLANCE", 0.01)
    loop = asyncio.new_event_loop()
    bridge = Bridge(loop)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def never() -> None:
        loop.stop()
        await asyncio.Event().wait()

    def end() -> None:
        thread.join()
        loop.close()

    if when == "before":
        loop.call_soon_threadsafe(loop.stop)
        end()
    else:
        threading.Thread(target=end).start()
    with pytest.raises(Closed, match="only as long as its worker or its program runs"):
        bridge.wait(never)


async def test_what_takes_longer_than_a_glance_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("docket.sync.bridge.GLANCE", 0.001)
    bridge, opened = Bridge.here(), asyncio.Event()

    async def slow() -> str:
        await opened.wait()
        return "done"

    waiting = asyncio.create_task(in_thread(lambda: bridge.wait(slow)))
    await in_thread(lambda: threading.Event().wait(0.05))
    opened.set()

    assert await waiting == "done"


async def test_it_is_tied_to_its_process(sync: SyncDocket) -> None:
    with pytest.raises(
        TypeError, match=r"found a SyncDocket, which is tied to this one; leave out"
    ):
        pickle.dumps(sync)


def test_a_call_is_typed_as_that_of_a_docket() -> None:
    def program(docket: SyncDocket = CurrentSyncDocket()) -> None:
        docket.add(greet)(5)  # type: ignore[arg-type]
        docket.replace(greet, soon(1), "key")(nobody="Jane")  # type: ignore[call-arg]
        docket.call(greet)(1, 2, 3)  # type: ignore[call-arg,arg-type]

    assert program
