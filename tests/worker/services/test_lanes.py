"""Two round trips under way at a time, and what has to go alone."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from docket import Docket, Worker
from docket.errors import ServerUnavailable
from docket.storage.claims import ClaimReply, Settlement, Verdict
from docket.worker.services.round_trips import LANES, WORTH_A_TRIP
from tests.conformance.conftest import until, working

SLOTS = LANES * WORTH_A_TRIP
COUNT = 3 * SLOTS

Reply = tuple[list[Verdict], ClaimReply | None]


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://lanes") as docket:
        yield docket


class Gone:
    """One round trip that the server has answered, and whose reply is held back."""

    def __init__(self, settlements: list[Settlement], slots: int, options: dict[str, Any]) -> None:
        self.settlements = settlements
        self.slots = slots
        self.is_alone: bool = options["is_alone"]
        self.holding: list[bytes] = options["holding"]
        self.reply: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def arrive(self) -> None:
        """Let the worker hear the reply."""
        self.reply.set_result(None)

    def is_lost(self) -> None:
        """Let the worker hear that there will be none."""
        self.reply.set_exception(ServerUnavailable("the reply is lost"))


class Line:
    """The line of a worker to its server, on which each reply waits for the test."""

    def __init__(self, worker: Worker) -> None:
        self.gone: list[Gone] = []
        self.is_held = True
        self._trade = worker._exchange.trade
        worker._exchange.trade = self._held_back  # type: ignore[method-assign]

    async def _held_back(self, settlements: list[Settlement], slots: int, **options: Any) -> Reply:
        reply = await self._trade(settlements, slots, **options)
        if self.is_held:
            self.gone.append(Gone(settlements, slots, options))
            await self.gone[-1].reply
        return reply

    async def until_gone(self, count: int) -> list[Gone]:
        """Wait until so many have gone out in all; those are all that were ever let out."""
        await until(lambda: _is(len(self.gone) >= count))
        # Whoever would send one too many has had the time to.
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(self.gone) == count
        return self.gone

    def let_go(self) -> None:
        """Hold nothing back any more."""
        self.is_held = False
        for gone in self.gone:
            if not gone.reply.done():
                gone.arrive()


async def _is(value: bool) -> bool:
    return value


@asynccontextmanager
async def busy(docket: Docket, work: Callable[[int], Any]) -> AsyncGenerator[tuple[Worker, Line]]:
    """A worker that found three times as many executions as it has slots, with all its lanes in use."""
    await docket.add_many([docket.call(work)(number) for number in range(COUNT)])
    async with Worker(docket, concurrency=SLOTS) as worker:
        line = Line(worker)
        async with working(worker):
            try:
                (first,) = await line.until_gone(1)
                # The first one looks also for consumers that were forgotten.
                assert (first.is_alone, first.slots) == (True, SLOTS)
                first.arrive()
                await line.until_gone(1 + LANES)
                yield worker, line
            finally:
                line.let_go()


async def test_free_slots_are_divided_between_the_round_trips_that_are_under_way(
    docket: Docket,
) -> None:
    runs: list[int] = []

    async def work(number: int) -> None:
        runs.append(number)

    async with busy(docket, work) as (worker, line):
        _, second, third = line.gone
        assert sorted(runs) == list(range(SLOTS))
        assert [second.slots, third.slots] == [WORTH_A_TRIP] * LANES
        assert (len(second.settlements), len(third.settlements)) == (SLOTS, 0)

        second.arrive()
        fourth = (await line.until_gone(4))[-1]
        assert (len(fourth.settlements), fourth.slots) == (WORTH_A_TRIP, WORTH_A_TRIP)
        line.let_go()
        await worker._running.until_empty()
        await until(lambda: _is(len(runs) == COUNT))

    assert sorted(runs) == list(range(COUNT))


async def test_after_a_lost_reply_the_other_trip_ends_and_one_recovery_goes_alone(
    docket: Docket,
) -> None:
    runs = Counter[int]()
    go_on = asyncio.Event()

    async def work(number: int) -> None:
        runs[number] += 1
        if number >= SLOTS:
            await go_on.wait()

    async with busy(docket, work) as (worker, line):
        _, second, third = line.gone
        second.is_lost()
        await until(lambda: _is(worker._round_trips._must_recover))
        await line.until_gone(3)
        third.arrive()
        recovery = (await line.until_gone(4))[-1]

        assert recovery.is_alone
        assert len(recovery.settlements) == SLOTS, "what was lost is settled again"
        held = {run.holder for run in worker._running.held()}
        assert len(held) == WORTH_A_TRIP, "what the other one has brought"
        assert held < set(recovery.holding)
        line.let_go()
        go_on.set()
        await until(lambda: _is(len(runs) == COUNT))

    assert set(runs.values()) == {1}


async def test_what_fails_unexpectedly_waits_for_the_other_trip_before_it_is_told(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    runs = Counter[int]()

    async def work(number: int) -> None:
        runs[number] += 1

    async with busy(docket, work) as (worker, line):
        _, second, third = line.gone
        second.reply.set_exception(ZeroDivisionError("a mistake of ours"))
        await until(lambda: _is(worker._round_trips._failure is not None))
        assert "a mistake of ours" not in caplog.text
        third.arrive()
        line.let_go()
        await until(lambda: _is(len(runs) == COUNT))

    assert set(runs.values()) == {1}
    assert "a mistake of ours" in caplog.text


async def test_a_server_that_is_away_is_found_by_both_and_waited_for_once(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    runs = Counter[int]()

    async def work(number: int) -> None:
        runs[number] += 1

    async with busy(docket, work) as (_, line):
        _, second, third = line.gone
        second.is_lost()
        third.is_lost()
        recovery = (await line.until_gone(4))[-1]
        assert recovery.is_alone
        line.let_go()
        await until(lambda: _is(len(runs) == COUNT))

    assert set(runs.values()) == {1}
    assert caplog.text.count("the reply is lost") == 1


async def test_a_drain_waits_for_both(docket: Docket) -> None:
    runs: list[int] = []

    async def work(number: int) -> None:
        runs.append(number)

    async with busy(docket, work) as (worker, line):
        _, second, third = line.gone
        draining = asyncio.create_task(worker.drain())
        for gone in (second, third):
            await asyncio.sleep(0)
            assert not draining.done()
            gone.arrive()
        line.let_go()
        await asyncio.wait_for(draining, 60)

    assert sorted(runs) == list(range(2 * SLOTS)), (
        "what both have claimed has run, and nothing more"
    )
    assert (await docket.snapshot()).total_tasks == SLOTS


async def test_a_worker_with_few_slots_has_one_round_trip_under_way(docket: Docket) -> None:
    runs: list[int] = []

    async def work(number: int) -> None:
        runs.append(number)

    await docket.add_many([docket.call(work)(number) for number in range(3 * WORTH_A_TRIP)])
    async with Worker(docket, concurrency=WORTH_A_TRIP) as worker:
        line = Line(worker)
        async with working(worker):
            for count in range(1, 4):
                gone = (await line.until_gone(count))[-1]
                assert gone.slots == WORTH_A_TRIP
                gone.arrive()
            line.let_go()
            await until(lambda: _is(len(runs) == 3 * WORTH_A_TRIP))

    assert sorted(runs) == list(range(3 * WORTH_A_TRIP))
