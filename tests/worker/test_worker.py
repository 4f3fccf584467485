"""A worker as a program runs it, and the tasks that every docket knows."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from docket import ConcurrencyLimit, Docket, ExecutionCancelled, ExecutionState, Worker
from docket.errors import Closed
from docket.execution import Execution
from docket.foundation.policy import TaskPolicy
from docket.storage import bell
from docket.storage.bell import BellLine
from tests.compat.conftest import working

URL = "memory://programs"

remembered: list[int] = []


async def remember(number: int) -> None:
    remembered.append(number)


async def stop_me(number: int) -> None:
    remembered.append(number)
    os.kill(os.getpid(), signal.SIGTERM)


async def catch_all(*args: int, **kwargs: int) -> None:
    remembered.extend(args)


my_tasks = [remember, stop_me]


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    remembered.clear()
    async with Docket(uuid.uuid4().hex, URL) as docket:
        yield docket


async def test_a_worker_program_ends_when_there_is_nothing_left_to_do(docket: Docket) -> None:
    await docket.add(remember)(1)
    docket.register(remember, ["nobody knows"])
    await docket.add("nobody knows")(2)

    await Worker.run(
        docket.name,
        URL,
        until_finished=True,
        tasks=[f"{__name__}:my_tasks"],
        fallback_task=f"{__name__}:catch_all",
    )

    assert sorted(remembered) == [1, 2]


async def test_a_worker_program_drains_when_it_is_told_to_stop(docket: Docket) -> None:
    await docket.add(stop_me)(1)

    await asyncio.wait_for(Worker.run(docket.name, URL, tasks=[f"{__name__}:my_tasks"]), 60)

    assert remembered == [1]
    assert await docket.workers() == []


async def test_the_standard_tasks_do_what_they_say(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await docket.add("trace")("Howdy!")
        await docket.add("sleep")(0.001)
        failing = await docket.add("fail")("Woops!")
        async with Worker(docket) as worker:
            await worker.run_until_finished()

    assert "Howdy!" in caplog.text
    assert "Sleeping for 0.001 seconds" in caplog.text
    with pytest.raises(Exception, match="Woops!"):
        await failing.get_result()


async def test_a_plain_function_holds_its_slots_until_its_thread_has_ended(docket: Docket) -> None:
    go_on, began = threading.Event(), threading.Event()
    running = peak = 0

    def wait(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        began.set()
        go_on.wait(100)
        running -= 1

    docket.register(wait)
    docket.registry.apply_policies({"wait": TaskPolicy(timeout=timedelta(milliseconds=50))})
    first = await docket.add(wait)()
    async with working(Worker(docket)) as worker:
        await asyncio.to_thread(began.wait, 60)
        second = await docket.add(wait)()
        await asyncio.sleep(0.2)  # several timeouts long
        await first.sync()
        assert (first.state, worker.in_flight, peak) == (ExecutionState.RUNNING, 1, 1)
        docket.registry.apply_policies({})  # the other may take as long as it likes
        go_on.set()
        with pytest.raises(asyncio.TimeoutError, match=f"wait {first.key} exceeded timeout of"):
            await first.get_result(timeout=timedelta(seconds=60))
        await second.get_result(timeout=timedelta(seconds=60))

    assert peak == 1


async def test_a_cancelled_plain_function_is_cancelled_once_its_thread_has_ended(
    docket: Docket,
) -> None:
    go_on, began = threading.Event(), threading.Event()

    def fail() -> None:
        began.set()
        go_on.wait(100)
        raise ArithmeticError

    execution = await docket.add(fail)()
    async with working(Worker(docket)) as worker:
        await asyncio.to_thread(began.wait, 60)
        await docket.cancel(execution.key)
        await asyncio.sleep(0.1)
        assert worker.in_flight == 1
        go_on.set()
        with pytest.raises(ExecutionCancelled):
            await execution.get_result(timeout=timedelta(seconds=60))


async def test_a_task_that_exits_has_failed_and_its_worker_goes_on(docket: Docket) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    docket.register(leave)
    execution = await docket.add(leave)()
    good = await docket.add(remember)(5)
    async with Worker(docket) as worker:
        await worker.run_until_finished()

    await execution.sync()
    await good.sync()
    assert execution.error == "SystemExit: 3"
    assert remembered == [5]


async def test_a_result_that_can_not_be_stored_is_a_failure(docket: Docket) -> None:
    async def too_much() -> str:
        return "x" * (2 << 20)

    docket.register(too_much)
    execution = await docket.add(too_much)()
    async with Worker(docket) as worker:
        await worker.run_until_finished()
        assert worker.labels() == {"docket.name": docket.name, "docket.worker": worker.name}

    await execution.sync()
    assert execution.error is not None
    assert execution.error.startswith("PayloadTooLarge")


@pytest.mark.thorough
async def test_more_than_one_page_is_shown_whole(docket: Docket) -> None:
    await docket.add_many(
        [docket.call(remember)(number) for number in range(1200)], chunk_size=None
    )

    snapshot = await docket.snapshot()

    assert snapshot.total_tasks == 1200
    assert len({execution.key for execution in snapshot.future}) == 1200
    assert await docket.clear() == 1200


async def test_an_execution_says_what_it_is(docket: Docket) -> None:
    execution = await docket.add(remember)(7)

    assert repr(execution) == f"<Execution remember(...){{{execution.key}}} queued>"
    assert (execution.docket, execution.function) == (docket, remember)
    assert (execution.redelivered, execution.trace_context) == (False, None)
    assert execution.get_argument("number") == 7
    with pytest.raises(KeyError):
        execution.get_argument("other")
    with pytest.raises(TypeError):
        Execution(docket, remember, (1, 2), {}, "k", execution.when, 1).get_argument("number")


async def test_a_docket_names_its_keys(docket: Docket) -> None:
    assert docket.key("mine") == f"{docket.prefix}:mine"
    assert docket.queue_key == docket.key("queue")
    assert docket.stream_key == docket.key("stream")
    assert docket.runs_key("k") == docket.key("runs:k")
    assert docket.worker_group_name == "docket-workers"
    keys = docket.storage.keys
    assert (keys.dead, keys.parked) == (docket.key("dead"), docket.key("parked"))
    assert keys.bell("mail") == docket.key("bell:mail")
    assert keys.task_workers("t") == docket.key("task-workers:t")
    assert keys.schedules == docket.key("schedules")
    docket.register_collection("docket.tasks:standard_tasks")
    assert set(docket.tasks) >= {"trace", "fail", "sleep"}


async def test_a_worker_that_waits_for_the_work_of_another_looks_now_and_then() -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        begun.set()
        await release.wait()

    async with Docket("waits", "memory://waits-for-another") as docket:
        await docket.add(hold)()
        async with Worker(docket) as busy, Worker(docket) as waiting:
            holding = asyncio.create_task(busy.run_until_finished())
            await begun.wait()
            finishing = asyncio.create_task(waiting.run_until_finished())
            await waiting.until_started()
            before, since = await _scripts_run(docket), time.monotonic()
            await asyncio.sleep(0.5)
            looks, seconds = await _scripts_run(docket) - before, time.monotonic() - since
            release.set()
            await asyncio.gather(holding, finishing)

    assert looks < 100 * seconds


async def _scripts_run(docket: Docket) -> int:
    async with docket.redis() as client:
        return (await client.info("commandstats"))["cmdstat_evalsha"]["calls"]


async def test_workers_of_one_process_and_docket_have_names_of_their_own() -> None:
    mine = f"{socket.gethostname()}#{os.getpid()}"
    async with Docket(uuid.uuid4().hex, URL) as docket:
        async with Worker(docket) as first, Worker(docket) as second, Worker(docket, "third"):
            assert [first.name, second.name] == [mine, f"{mine}-2"]
            working = [asyncio.create_task(one.run_forever()) for one in (first, second)]
            await first.until_started()
            await second.until_started()
            assert {one.name for one in await docket.workers()} == {mine, f"{mine}-2"}
            for task in working:
                task.cancel()
            await asyncio.gather(*working)
        async with Docket(uuid.uuid4().hex, URL) as another:
            assert (Worker(docket).name, Worker(another).name) == (mine, mine)


async def test_a_name_that_is_free_again_is_given_again() -> None:
    async with Docket(uuid.uuid4().hex, URL) as docket:
        names: list[str] = []
        for _ in range(3):
            async with Worker(docket) as worker:
                names.append(worker.name)
        assert len(set(names)) == 1


async def test_a_worker_that_has_finished_tells_how_much_is_parked(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    docket.register(remember, ["nobody knows", "remember"])
    await docket.add("nobody knows")(1)
    async with Docket(docket.name, URL) as another:
        another.register(remember)
        await another.add(remember)(2)
        async with Worker(another) as worker:
            with caplog.at_level(logging.WARNING, "docket.worker"):
                await worker.run_until_finished()
                assert "Parked and not run: 1; docket parked shows why" in caplog.text
            caplog.clear()
            another.register(remember, ["nobody knows"])
            await worker.run_until_finished()

    assert remembered == [2, 1]
    assert "Parked" not in caplog.text


async def test_a_docket_that_was_left_says_so() -> None:
    async with Docket(uuid.uuid4().hex, URL) as docket:
        await docket.add(remember)(1)
    with pytest.raises(
        Closed, match=r"the connection to memory://programs is closed: .* inside of"
    ):
        await docket.add(remember)(2)
    async with docket:
        assert (await docket.snapshot()).total_tasks == 1


async def test_a_worker_that_nobody_rings_for_is_woken_by_the_next_ring(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = asyncio.Event()
    rung = BellLine.rung

    async def listen(line: BellLine) -> bool:
        is_rung = await rung(line)
        if not is_rung:
            silent.set()
        return is_rung

    monkeypatch.setattr(bell, "PATIENCE", 0.05)
    monkeypatch.setattr(BellLine, "rung", listen)
    docket.register(remember)
    async with Worker(docket) as worker:
        working = asyncio.create_task(worker.run_forever())
        await asyncio.wait_for(silent.wait(), 60)
        execution = await docket.add(remember)(7)
        await execution.get_result(timeout=timedelta(seconds=60))
        working.cancel()
        await working

    assert remembered == [7]
