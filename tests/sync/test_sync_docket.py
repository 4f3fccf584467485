"""A docket whose calls return when they are done, as plain functions are given one."""

from __future__ import annotations

import asyncio
import pickle
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

import pytest

from docket import (
    CurrentSyncDocket,
    Disposition,
    Docket,
    ExecutionCancelled,
    ExecutionState,
    SyncDocket,
    Worker,
)
from docket.errors import Closed, WouldBlock, WrongArguments
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
    return SyncDocket(docket, Bridge.here())


async def greet(name: str, greeting: str = "Hello") -> str:
    return f"{greeting}, {name}"


async def in_thread(function: Callable[[], T]) -> T:
    return await asyncio.to_thread(function)


async def test_a_call_is_added_and_its_result_is_had(docket: Docket, sync: SyncDocket) -> None:
    def program() -> tuple[SyncExecution, SyncExecution, Any]:
        execution = sync.add(greet, key="one")("Jane", greeting="Hi")
        later = sync.add("greet", soon(3600), "two")("Jane")
        again = sync.add("greet", key=later.key)("Jane")
        result = execution.get_result(timeout=PATIENCE)
        execution.sync()
        return execution, again, result

    async with Worker(docket) as worker, working(worker):
        execution, again, result = await in_thread(program)

    assert result == "Hi, Jane"
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
        with pytest.raises(
            AttributeError, match=r"found Execution\.subscribe; it is not to be had"
        ):
            sync.add(greet)("Jane").subscribe  # noqa: B018
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


async def test_many_threads_use_one(docket: Docket, sync: SyncDocket) -> None:
    def program() -> list[str]:
        return [sync.add(greet, soon(3600))("Jane").key for _ in range(10)]

    keys = await asyncio.gather(*(in_thread(program) for _ in range(8)))

    assert len({key for some in keys for key in some}) == 80
    assert (await docket.snapshot()).total_tasks == 80


async def test_where_an_event_loop_runs_it_is_refused(docket: Docket, sync: SyncDocket) -> None:
    with pytest.raises(WouldBlock, match=r"take docket: Docket = CurrentDocket\(\)"):
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
    with pytest.raises(Closed, match="only as long as its worker runs"):
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
