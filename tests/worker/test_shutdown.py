"""A worker ends when it is told to, and hands back what it cannot finish."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from docket import Docket, ExecutionState, Worker
from docket.execution import Execution

from ..fleet.process import ServerProcess

URL = "memory://shutdown"

PROMPTLY = 25.0
"""Seconds that an end may take on a busy machine; what runs would take for ever."""

finished: list[int] = []


async def brief(number: int) -> None:
    await asyncio.sleep(0.2)
    finished.append(number)


async def for_ever(number: int) -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0.05)  # cleaning up takes a moment
        raise


OVER = threading.Event()
"""Ends the thread of a plain function, which nothing else does."""


def in_a_thread(number: int) -> None:
    OVER.wait(60)


async def stubborn() -> str:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "done all the same"


async def swift() -> None: ...


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    finished.clear()
    async with Docket(uuid.uuid4().hex, URL) as docket:
        yield docket


def another(docket: Docket) -> Docket:
    """The same docket, as a program with an event loop of its own has it."""
    there = Docket(docket.name, URL)
    for task in (brief, for_ever, in_a_thread, stubborn, swift):
        there.register(task)
    return there


async def until_running(execution: Execution) -> None:
    while execution.state in (ExecutionState.SCHEDULED, ExecutionState.QUEUED):
        await asyncio.sleep(0.01)
        await execution.sync()


class Failure(Exception):
    """What a program ends with."""


Task = Callable[[int], Any]


async def leaving_both(docket: Docket, task: Task) -> None:
    async with another(docket) as there, Worker(there) as worker:
        working = asyncio.create_task(worker.run_forever())
        await until_running(await there.add(task, key="run")(1))
        del working
        raise Failure


async def leaving_the_docket(docket: Docket, task: Task) -> None:
    async with another(docket) as there:
        working = asyncio.create_task(Worker(there).run_forever())
        await until_running(await there.add(task, key="run")(1))
        del working
        raise Failure


async def leaving_nothing(docket: Docket, task: Task) -> None:
    there = await another(docket).__aenter__()
    working = asyncio.create_task(Worker(there).run_forever())
    await until_running(await there.add(task, key="run")(1))
    del working
    raise Failure


async def leaving_while_it_drains(docket: Docket, task: Task) -> None:
    there = await another(docket).__aenter__()
    worker = Worker(there)
    working = asyncio.create_task(worker.run_forever())
    await until_running(await there.add(task, key="run")(1))
    working.cancel()
    while worker._round_trips._claiming:
        await asyncio.sleep(0)
    raise Failure


async def cancelling_everything(docket: Docket, task: Task) -> None:
    async with another(docket) as there, Worker(there) as worker:
        working = asyncio.create_task(worker.run_forever())
        await until_running(await there.add(task, key="run")(1))
        for one in asyncio.all_tasks():
            one.cancel()
        await working


async def cancelling_everything_at_once(docket: Docket, task: Task) -> None:
    """Before the run has taken its first step."""
    async with another(docket) as there, Worker(there) as worker:
        begin = worker._begin

        def begin_and_cancel(claimed: object) -> None:
            begin(claimed)  # type: ignore[arg-type]
            for one in asyncio.all_tasks():
                one.cancel()

        worker._round_trips._begin = begin_and_cancel  # type: ignore[assignment]
        await there.add(task, key="run")(1)
        await worker.run_forever()


@pytest.mark.parametrize("task", [for_ever, in_a_thread], ids=lambda task: task.__name__)
@pytest.mark.parametrize(
    "main",
    [
        leaving_both,
        leaving_the_docket,
        leaving_nothing,
        leaving_while_it_drains,
        cancelling_everything,
        cancelling_everything_at_once,
    ],
    ids=lambda main: main.__name__,
)
async def test_a_program_that_ends_while_a_worker_runs_hands_back_what_runs(
    docket: Docket, main: Callable[[Docket, Task], Coroutine[None, None, None]], task: Task
) -> None:
    OVER.clear()
    started = time.monotonic()
    with contextlib.suppress(Failure, asyncio.CancelledError):
        await asyncio.wait_for(asyncio.to_thread(asyncio.run, main(docket, task)), 4 * PROMPTLY)

    assert time.monotonic() - started < PROMPTLY
    OVER.set()
    execution = await docket.get_execution("run")
    assert execution is not None
    assert (execution.state, execution.attempt) == (ExecutionState.QUEUED, 1)

    async def now(number: int) -> None:
        finished.append(number)

    docket.register(now, [task.__name__])
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    await execution.sync()
    assert (execution.state, finished) == (ExecutionState.COMPLETED, [1])
    assert not execution.redelivered


async def test_what_a_run_returns_at_the_end_of_its_loop_is_recorded(docket: Docket) -> None:
    async def main() -> None:
        async with another(docket) as there:
            working = asyncio.create_task(Worker(there).run_forever())
            await until_running(await there.add(stubborn, key="run")())
            for task in asyncio.all_tasks():
                task.cancel()
            await working

    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.to_thread(asyncio.run, main()), 4 * PROMPTLY)

    execution = await docket.get_execution("run")
    assert execution is not None
    assert await execution.get_result() == "done all the same"


async def test_leaving_a_worker_finishes_what_runs_and_claims_no_more(docket: Docket) -> None:
    go_on = asyncio.Event()

    async def held(number: int) -> None:
        await go_on.wait()
        finished.append(number)

    async def let_go(worker: Worker) -> None:
        while worker._round_trips._claiming:
            await asyncio.sleep(0.01)
        go_on.set()

    docket.register(held)
    async with Worker(docket, concurrency=1) as worker:
        working = asyncio.create_task(worker.run_forever())
        running = await docket.add(held)(1)
        await until_running(running)
        waiting = await docket.add(held)(2)
        letting_go = asyncio.create_task(let_go(worker))

    await letting_go
    assert working.done()
    await working
    await running.sync()
    await waiting.sync()
    assert (running.state, waiting.state) == (ExecutionState.COMPLETED, ExecutionState.QUEUED)
    assert finished == [1]


async def test_leaving_a_docket_finishes_what_its_workers_run(docket: Docket) -> None:
    there = another(docket)
    async with there:
        working = [asyncio.create_task(Worker(there).run_forever()) for _ in range(2)]
        running = [await there.add(brief)(number) for number in range(2)]
        for execution in running:
            await until_running(execution)

    assert all(task.done() for task in working)
    await asyncio.gather(*working)
    assert sorted(finished) == [0, 1]
    for execution in running:
        found = await docket.get_execution(execution.key)
        assert found is not None
        assert found.state is ExecutionState.COMPLETED


@pytest.mark.parametrize("way", ["twice", "while it is left"])
async def test_whoever_insists_has_what_runs_handed_back(docket: Docket, way: str) -> None:
    docket.register(for_ever)
    worker = await Worker(docket).__aenter__()
    working = asyncio.create_task(worker.run_forever())
    execution = await docket.add(for_ever)(1)
    await until_running(execution)
    if way == "twice":
        working.cancel()
        while worker._round_trips._claiming:
            await asyncio.sleep(0)
        working.cancel()
    else:
        removed_tasks = asyncio.create_task(worker.__aexit__(None, None, None))
        while worker._round_trips._claiming:
            await asyncio.sleep(0)
        removed_tasks.cancel()
        with pytest.raises(asyncio.CancelledError):
            await removed_tasks

    await asyncio.wait_for(working, PROMPTLY)
    await execution.sync()
    assert (execution.state, execution.attempt) == (ExecutionState.QUEUED, 1)


async def test_a_program_ends_although_its_server_does_not_answer(
    own_server: ServerProcess,
) -> None:
    name = uuid.uuid4().hex

    async def main() -> None:
        there = Docket(name, own_server.url)
        there.register(for_ever)
        async with there:
            worker = Worker(there)
            working = asyncio.create_task(worker.run_forever())
            await until_running(await there.add(for_ever, key="run")(1))
            own_server.pause()
            worker._leases.renew_soon()
            del working
            raise Failure

    started = time.monotonic()
    with contextlib.suppress(Failure):
        await asyncio.wait_for(asyncio.to_thread(asyncio.run, main()), 4 * PROMPTLY)
    took = time.monotonic() - started
    own_server.resume()

    assert took < 2 * PROMPTLY


@pytest.mark.thorough
def test_two_signals_end_a_worker_program_in_good_order(own_server: ServerProcess) -> None:
    program = (
        "import asyncio, sys\n"
        "from docket import Worker\n"
        "asyncio.run(Worker.run('signals', sys.argv[1], tasks=[sys.argv[2]]))\n"
    )

    async def add() -> None:
        async with Docket("signals", own_server.url) as docket:
            docket.register(for_ever)
            await docket.add(for_ever, key="run")(1)

    async def until_it_runs() -> None:
        async with Docket("signals", own_server.url) as docket:
            execution = await docket.get_execution("run")
            assert execution is not None
            await until_running(execution)

    async def state() -> ExecutionState:
        async with Docket("signals", own_server.url) as docket:
            execution = await docket.get_execution("run")
            assert execution is not None
            return execution.state

    asyncio.run(add())
    arguments = [sys.executable, "-c", program, own_server.url, f"{__name__}:signalled"]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE) as process:
        asyncio.run(until_it_runs())
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        _, complaints = process.communicate(timeout=4 * PROMPTLY)

    assert (process.returncode, b"Traceback" in complaints) == (0, False)
    assert asyncio.run(state()) is ExecutionState.QUEUED


signalled = [for_ever]
