"""F35: an execution is cancelled in every state it can be in: for good, and within 2 s after contact.

About 8 s.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone

import pytest

from docket import ConcurrencyLimit, Docket, Execution, ExecutionState, Retry, Worker
from docket.runners.command import command_task
from docket.storage.claims import Consumer
from docket.worker.runs.slots import End
from tests.conformance.conftest import working
from tests.promises import promised

pytestmark = pytest.mark.fault

CONTACT = 2.0
HOUR = timedelta(hours=1)

Arrange = Callable[[Docket], Awaitable[Execution]]


async def until_state(execution: Execution, state: ExecutionState) -> None:
    while execution.state is not state:
        await asyncio.sleep(0.005)
        await execution.sync()


async def sleep() -> None:
    await asyncio.sleep(60)


async def fail(retry: Retry = Retry(attempts=3, delay=HOUR)) -> None:
    raise ValueError("again")


async def one_at_a_time(limit: ConcurrencyLimit = ConcurrencyLimit(1)) -> None:
    await asyncio.sleep(60)


async def scheduled(docket: Docket) -> Execution:
    return await docket.add(sleep, datetime.now(timezone.utc) + HOUR)()


async def queued(docket: Docket) -> Execution:
    """Nobody can take it: the one worker has no slot."""
    docket.register(sleep)
    busy = [await docket.add(sleep)() for _ in range(5)]
    for one in busy:
        await until_state(one, ExecutionState.RUNNING)
    return await docket.add(sleep)()


async def waiting(docket: Docket) -> Execution:
    first = await docket.add(one_at_a_time)()
    await until_state(first, ExecutionState.RUNNING)
    second = await docket.add(one_at_a_time)()
    await until_state(second, ExecutionState.SCHEDULED)
    return second


async def running(docket: Docket) -> Execution:
    execution = await docket.add(sleep)()
    await until_state(execution, ExecutionState.RUNNING)
    return execution


async def running_as_a_command(docket: Docket) -> Execution:
    docket.register(command_task("wait", ("sleep", "60")), ["wait"])
    execution = await docket.add("wait")()
    await until_state(execution, ExecutionState.RUNNING)
    return execution


async def between_two_attempts(docket: Docket) -> Execution:
    execution = await docket.add(fail)()
    await until_state(execution, ExecutionState.SCHEDULED)
    while execution.attempt == 1:
        await asyncio.sleep(0.005)
        await execution.sync()
    return execution


async def parked(docket: Docket) -> Execution:
    docket.register(sleep, ["unknown"])
    execution = await docket.add("unknown")()
    del docket.tasks["unknown"]
    await until_state(execution, ExecutionState.PARKED)
    return execution


STATES: dict[str, Arrange] = {
    name.__name__: name
    for name in (
        scheduled,
        queued,
        waiting,
        running,
        running_as_a_command,
        between_two_attempts,
        parked,
    )
}


@pytest.mark.parametrize("name", STATES)
async def test_what_is_cancelled_ends_within_two_seconds_and_stays_so(
    docket: Docket, name: str
) -> None:
    async with Worker(docket, concurrency=5) as worker, working(worker):
        execution = await STATES[name](docket)

        told = time.monotonic()
        await docket.cancel(execution.key)
        await until_state(execution, ExecutionState.CANCELLED)
        assert time.monotonic() - told <= promised(CONTACT)

        # For good: nothing that was under way puts it back.
        again = await docket.add(sleep, datetime.now(timezone.utc) + HOUR, key="witness")()
        await until_state(again, ExecutionState.SCHEDULED)
        await execution.sync()
        assert execution.state is ExecutionState.CANCELLED
        for other in (await docket.snapshot()).running:
            await docket.cancel(other.key)


async def test_a_plain_function_is_cancelled_as_soon_as_its_thread_has_ended(
    docket: Docket,
) -> None:
    over = threading.Event()

    def block() -> None:
        over.wait(60)

    execution = await docket.add(block)()
    async with Worker(docket) as worker, working(worker):
        await until_state(execution, ExecutionState.RUNNING)
        await docket.cancel(execution.key)
        (run,) = worker._running.find(execution.key)
        while run.end is not End.CANCELLED:
            await asyncio.sleep(0.005)
        # Nothing stops a thread: until it has ended, the run keeps its slots.
        await execution.sync()
        assert execution.state is ExecutionState.RUNNING

        over.set()
        told = time.monotonic()
        await until_state(execution, ExecutionState.CANCELLED)
        assert time.monotonic() - told <= promised(CONTACT)


async def test_what_a_dead_worker_held_is_cancelled_by_whoever_takes_it_over(
    docket: Docket,
) -> None:
    docket.register(sleep)
    execution = await docket.add(sleep)()
    dead = Consumer("dead", "dead", ("default",), 500, 60_000, 60_000)
    _, catch = await docket.storage.exchange(dead).trade([], 1)
    assert catch is not None
    assert [one.key for one in catch.claimed] == [execution.key]

    await docket.cancel(execution.key)
    async with (
        Worker(docket, redelivery_timeout=timedelta(milliseconds=500)) as worker,
        working(worker),
    ):
        contact = time.monotonic()
        await until_state(execution, ExecutionState.CANCELLED)

    assert time.monotonic() - contact <= promised(CONTACT)


async def test_what_is_over_is_not_cancelled(docket: Docket) -> None:
    async def nothing() -> None: ...

    execution = await docket.add(nothing)()
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    await docket.cancel(execution.key)
    await execution.sync()

    assert execution.state is ExecutionState.COMPLETED
