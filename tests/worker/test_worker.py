"""A worker as a program runs it, and the tasks that every docket knows."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from docket import Docket, Worker
from docket.execution import Execution
from docket.policy import TaskPolicy

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

    await asyncio.wait_for(Worker.run(docket.name, URL, tasks=[f"{__name__}:my_tasks"]), 20)

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


async def test_a_plain_function_that_takes_too_long_gives_its_slot_back(docket: Docket) -> None:
    go_on = threading.Event()

    def wait() -> None:
        go_on.wait(20)

    docket.register(wait)
    docket.registry.apply_policies({"wait": TaskPolicy(timeout=timedelta(milliseconds=50))})
    execution = await docket.add(wait)()
    async with Worker(docket, concurrency=1) as worker:
        await worker.run_until_finished()
        go_on.set()

    with pytest.raises(asyncio.TimeoutError):
        await execution.get_result()


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

    assert repr(execution) == f"<Execution remember(number=...){{{execution.key}}} queued>"
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
            before = await _scripts_run(docket)
            await asyncio.sleep(0.5)
            looks = await _scripts_run(docket) - before
            release.set()
            await asyncio.gather(holding, finishing)

    assert looks < 50


async def _scripts_run(docket: Docket) -> int:
    async with docket.redis() as client:
        return (await client.info("commandstats"))["cmdstat_evalsha"]["calls"]
