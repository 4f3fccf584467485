"""Runs that are due while the one before them is not over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from docket import CurrentExecution, Execution, ExecutionState, Worker

from .conftest import MINUTE, NOON, Host

EVERY_MINUTE = '[schedules.s]\nevery = "1m"\n'


def key(minute: int) -> str:
    return f"s@{NOON + minute * MINUTE:%Y-%m-%dT%H:%M:%SZ}"


class Stage:
    """The task t, which runs until it is let go, and what was seen of it."""

    def __init__(self) -> None:
        self.starts: asyncio.Queue[str] = asyncio.Queue()
        self.ended: list[str] = []
        self.most = 0
        self._running = 0
        self._go = asyncio.Event()

    def let_go(self) -> None:
        """Let all that run, and all that will, end."""
        self._go.set()

    async def task(self, execution: Execution = CurrentExecution()) -> None:
        self._running += 1
        self.most = max(self.most, self._running)
        self.starts.put_nowait(execution.key)
        try:
            await self._go.wait()
            self.ended.append(execution.key)
        finally:
            self._running -= 1


@asynccontextmanager
async def working(host: Host) -> AsyncGenerator[Stage]:
    """A worker on the docket."""
    stage = Stage()
    host.docket.register(stage.task, names=["t"])
    async with Worker(host.docket, minimum_check_interval=timedelta(milliseconds=20)) as worker:
        running = asyncio.create_task(worker.run_forever())
        yield stage
        stage.let_go()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def started(stage: Stage, count: int) -> list[str]:
    return [await stage.starts.get() for _ in range(count)]


async def ended(host: Host, *keys: str) -> list[str]:
    """Wait until these are over; tells how."""
    states: list[str] = []
    for one in keys:
        execution = await host.docket.get_execution(one)
        assert execution is not None
        while execution.state not in (ExecutionState.COMPLETED, ExecutionState.CANCELLED):
            await asyncio.sleep(0.005)
            await execution.sync()
        states.append(execution.state.value)
    return states


async def test_where_overlap_is_skipped_what_is_due_meanwhile_has_no_run(host: Host) -> None:
    async with working(host) as stage:
        await host.declare(EVERY_MINUTE)
        await host.wait(MINUTE)
        await started(stage, 1)
        await host.wait(MINUTE, 4)
        stage.let_go()
        await ended(host, key(1))
        await host.wait(MINUTE)
        await ended(host, key(6))

    assert stage.ended == [key(1), key(6)]
    assert host.ticker.skipped == {"overlap": 4}
    assert await host.outcomes() == ["fired", *["overlap"] * 4, "fired"]


async def test_where_one_is_queued_the_first_that_is_due_meanwhile_waits_for_its_turn(
    host: Host,
) -> None:
    async with working(host) as stage:
        await host.declare(EVERY_MINUTE + 'overlap = "queue_one"\n')
        await host.wait(MINUTE)
        await started(stage, 1)
        await host.wait(MINUTE, 4)
        assert stage.starts.empty()
        stage.let_go()
        await ended(host, key(1), key(2))

    assert (stage.ended, stage.most) == ([key(1), key(2)], 1)
    assert host.ticker.skipped == {"overlap": 3}


async def test_where_all_are_queued_they_have_their_turns_in_order(host: Host) -> None:
    async with working(host) as stage:
        await host.declare(EVERY_MINUTE + 'overlap = "queue_all"\n')
        await host.wait(MINUTE)
        await started(stage, 1)
        await host.wait(MINUTE, 4)
        stage.let_go()
        await ended(host, *(key(minute) for minute in range(1, 6)))

    assert stage.ended == [key(minute) for minute in range(1, 6)]
    assert stage.most == 1
    assert not host.ticker.skipped


async def test_where_the_running_one_is_cancelled_the_latest_goes_on(host: Host) -> None:
    async with working(host) as stage:
        await host.declare(EVERY_MINUTE + 'overlap = "cancel_running"\n')
        for minute in range(1, 6):
            await host.wait(MINUTE)
            assert await started(stage, 1) == [key(minute)]
        stage.let_go()
        states = await ended(host, *(key(minute) for minute in range(1, 6)))

    assert states == ["cancelled"] * 4 + ["completed"]
    # A cancelled run may still be on its way out when the next one begins.
    assert stage.ended == [key(5)]


async def test_one_that_waits_for_the_one_that_is_cancelled_is_cancelled_as_well(
    host: Host,
) -> None:
    # Nobody works: the first stays queued, and every other takes the place of the one before it.
    await host.declare(EVERY_MINUTE + 'overlap = "cancel_running"\n')
    await host.wait(MINUTE, 3)

    assert await host.keys() == [key(3)]


async def test_where_overlap_is_allowed_all_run_at_once(host: Host) -> None:
    async with working(host) as stage:
        await host.declare(EVERY_MINUTE + 'overlap = "allow"\n')
        await host.wait(MINUTE, 5)
        await started(stage, 5)
        stage.let_go()
        await ended(host, *(key(minute) for minute in range(1, 6)))

    assert stage.most == 5


async def test_runs_that_are_made_up_for_have_their_turns(host: Host) -> None:
    async with working(host) as stage:
        await host.declare(EVERY_MINUTE + 'catchup = "all"\n')
        await host.wait(5 * MINUTE)
        stage.let_go()
        await ended(host, *(key(minute) for minute in range(1, 6)))

    assert (stage.ended, stage.most) == ([key(minute) for minute in range(1, 6)], 1)


@pytest.mark.parametrize("how", ["cancelled", "replaced", "gone"])
async def test_a_run_that_ends_without_a_word_lets_the_next_one_in(host: Host, how: str) -> None:
    await host.declare(EVERY_MINUTE + 'overlap = "queue_all"\n')
    await host.wait(MINUTE, 2)
    if how == "cancelled":
        await host.docket.cancel(key(1))
    elif how == "replaced":
        host.docket.register(Stage().task, names=["t"])
        await host.docket.replace("t", NOON + timedelta(hours=1), key(1))()
    else:
        connection = host.docket.storage.connection
        await connection.send(("DEL", host.docket.storage.keys.run(key(1))))
    await host.wait(MINUTE)

    second = await host.docket.get_execution(key(2))
    third = await host.docket.get_execution(key(3))
    assert second is not None
    assert third is not None
    assert (second.state.value, third.state.value) == ("queued", "scheduled")


async def test_a_run_that_is_parked_does_not_stand_in_the_way(host: Host) -> None:
    async with Worker(host.docket) as worker:
        await host.declare(EVERY_MINUTE)
        await host.wait(MINUTE)
        await worker.run_until_finished()  # it does not know the task
        await host.wait(MINUTE)

    assert await host.outcomes() == ["fired", "fired"]
