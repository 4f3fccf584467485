"""A drain ends in time, whatever stands in its way, and what it cannot end is run by the next worker."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

from docket import Cooldown, Docket, ExecutionState, RateLimit, Worker
from docket.storage.claims import Consumer
from tests.fleet.process import ServerProcess
from tests.promises import promised

LEASE = timedelta(seconds=60)
DEADLINE = timedelta(seconds=0.3)


@asynccontextmanager
async def drained(worker: Worker) -> AsyncGenerator[None, None]:
    """Have a worker run for the length of a block, then drain by the deadline, as a supervisor has it."""
    running = asyncio.create_task(worker.run_forever())
    await worker.until_started()
    try:
        yield
    finally:
        start = time.monotonic()
        await worker.drain(DEADLINE)
        running.cancel()
        await running
        # The farewell to a server that is away takes up to a second, and a busy machine its own time.
        assert time.monotonic() - start <= promised(DEADLINE.total_seconds() + 3)


@pytest.mark.parametrize("fail", [ServerProcess.kill, ServerProcess.pause])
async def test_a_drain_ends_in_time_while_the_server_is_away(
    own_server: ServerProcess, fail: Callable[[ServerProcess], None]
) -> None:
    started, end = asyncio.Event(), asyncio.Event()

    async def task() -> None:
        started.set()
        await end.wait()

    async with Docket(uuid.uuid4().hex, own_server.url) as docket:
        await docket.add(task)()
        async with Worker(docket, redelivery_timeout=LEASE) as worker, drained(worker):
            await asyncio.wait_for(started.wait(), 60)
            fail(own_server)
            end.set()


async def test_what_does_not_end_is_handed_back_when_a_drain_is_over(
    own_server: ServerProcess,
) -> None:
    starts: list[int] = []
    started, end = asyncio.Event(), asyncio.Event()

    async def deaf() -> str:
        starts.append(len(starts))
        if len(starts) == 2:
            return "second"
        started.set()
        while not end.is_set():
            with suppress(asyncio.CancelledError):
                await end.wait()
        return "first"

    async with Docket(uuid.uuid4().hex, own_server.url) as docket:
        execution = await docket.add(deaf)()
        async with Worker(docket, "first", redelivery_timeout=LEASE) as worker, drained(worker):
            await asyncio.wait_for(started.wait(), 60)

        async with Worker(docket, "second", redelivery_timeout=LEASE) as heir:
            await asyncio.wait_for(heir.run_until_finished(), 60)
        end.set()

        assert starts == [0, 1]
        assert await execution.get_result() == "second"
        (record,) = await docket.storage.executions.read(execution.key)
        assert record is not None
        assert (record.state, record.attempt, record.crashes) == (ExecutionState.COMPLETED, 1, 0)


@pytest.mark.thorough
async def test_what_was_claimed_by_a_reply_that_never_came_is_handed_back_by_a_drain(
    own_server: ServerProcess,
) -> None:
    ran: list[str] = []
    started, end = asyncio.Event(), asyncio.Event()

    async def task(name: str) -> None:
        ran.append(name)
        started.set()
        await end.wait()

    async with Docket(uuid.uuid4().hex, own_server.url) as docket:
        await docket.add(task)("heard")
        async with Worker(docket, "first", 1, redelivery_timeout=LEASE) as worker, drained(worker):
            await asyncio.wait_for(started.wait(), 60)
            unheard = await docket.add(task)("unheard")
            claimant = Consumer("first", worker.consumer, worker.queues, 60_000, 60_000, 60_000)
            _, catch = await docket.storage.exchange(claimant).trade([], 1)
            assert catch is not None
            assert [run.key for run in catch.claimed] == [unheard.key]
            end.set()
        assert await docket.workers() == []

        async with Worker(docket, "second", redelivery_timeout=LEASE) as heir:
            await asyncio.wait_for(heir.run_until_finished(), 60)

        assert ran == ["heard", "unheard"]
        (record,) = await docket.storage.executions.read(unheard.key)
        assert record is not None
        assert (record.state, record.attempt, record.crashes) == (ExecutionState.COMPLETED, 1, 0)


@pytest.mark.parametrize(
    "gate",
    [
        Cooldown(timedelta(minutes=1)),
        RateLimit(1, per=timedelta(minutes=1), drop=True),
        RateLimit(1, per=timedelta(minutes=1)),
    ],
)
async def test_what_a_drain_hands_back_is_let_in_again_by_the_gate_that_let_it_in_before(
    gate: Cooldown | RateLimit,
) -> None:
    starts: list[int] = []
    started = asyncio.Event()

    async def task(gate: Cooldown | RateLimit = gate) -> str:
        starts.append(len(starts))
        started.set()
        if len(starts) == 1:
            await asyncio.Event().wait()
        return "done"

    async with Docket(uuid.uuid4().hex, "memory://properties") as docket:
        execution = await docket.add(task)()
        async with Worker(docket, "first", redelivery_timeout=LEASE) as worker, drained(worker):
            await asyncio.wait_for(started.wait(), 60)

        async with Worker(docket, "second", redelivery_timeout=LEASE) as heir:
            await asyncio.wait_for(heir.run_until_finished(), 60)

        assert starts == [0, 1]
        await execution.sync()
        assert execution.state is ExecutionState.COMPLETED
