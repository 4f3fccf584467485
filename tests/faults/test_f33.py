"""F33: a run that waits at a gate, or holds something there, is taken away: all of it is given back.

Whatever takes it away (replace, cancel, strike, park, timeout), what others wait for is free at once, no
limit is exceeded, and nothing is left when all is over.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import pytest

from docket import (
    ConcurrencyLimit,
    Cooldown,
    Debounce,
    Docket,
    ExecutionState,
    RateLimit,
    Timeout,
    Worker,
)
from tests.compat.conftest import until, working
from tests.leftovers import leftovers

HOUR = timedelta(hours=1)
GATES = {
    "slot": ("slots:", "waiters:", "waiting", "holding", "sizes", "orphans:"),
    "moment": ("moments:",),
    "debounce": ("debounce:",),
}
"""What is written for whoever waits at a gate."""


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(f"f33-{uuid.uuid4().hex[:12]}", "memory://faults") as docket:
        yield docket


async def held(
    lane: str, limit: ConcurrencyLimit = ConcurrencyLimit("lane", max_concurrent=1)
) -> None:
    if lane == "busy":
        await asyncio.sleep(60)


async def rated(lane: Annotated[str, RateLimit(1, per=HOUR)]) -> None: ...


async def settled(lane: Annotated[str, Debounce(HOUR)]) -> None: ...


TASKS = {"slot": held, "moment": rated, "debounce": settled}


async def kept(docket: Docket, gate: str) -> list[str]:
    """The keys that are there for whoever waits or holds."""
    async with docket.redis() as client:
        names = [name.decode() async for name in client.scan_iter(f"{docket.prefix}:*")]
    found = [name.removeprefix(f"{docket.prefix}:") for name in names]
    return [name for name in found if name.startswith(GATES[gate])]


async def is_scheduled(docket: Docket, key: str) -> bool:
    (record,) = await docket.storage.executions.read(key)
    return record is not None and record.state is ExecutionState.SCHEDULED


async def nothing(docket: Docket, gate: str) -> bool:
    return await kept(docket, gate) == []


async def take_away(docket: Docket, how: str, gate: str) -> None:
    """Take away the run that waits."""
    if how == "cancel":
        await docket.cancel("waits")
    elif how == "replace":
        await docket.replace("free", datetime.now(timezone.utc), "waits")()
    else:
        action: Any = how
        await docket.strike(gate, action=action)


@pytest.mark.parametrize("gate", list(GATES))
@pytest.mark.parametrize("how", ["cancel", "replace"])
async def test_whoever_waits_at_a_gate_and_is_taken_away_leaves_nothing_there(
    docket: Docket, gate: str, how: str
) -> None:
    async def free() -> None: ...

    docket.register(TASKS[gate], [gate])
    docket.register(free, ["free"])
    async with working(Worker(docket)) as worker:
        busy = await docket.add(gate, key="first")("busy")
        if gate == "slot":
            await until(lambda: _runs(worker))
        elif gate == "moment":
            await busy.get_result(timeout=timedelta(seconds=10))
        else:
            await docket.cancel("first")
        await docket.add(gate, key="waits")("busy")
        await until(lambda: is_scheduled(docket, "waits"))
        assert await kept(docket, gate)

        await take_away(docket, how, gate)
        if gate == "slot":
            await docket.cancel("first")

        await until(lambda: nothing(docket, gate))


async def _runs(worker: Worker) -> bool:
    return worker.in_flight == 1


@pytest.mark.parametrize("action", ["drop", "park"])
async def test_a_strike_frees_the_moment_of_what_it_keeps_back(docket: Docket, action: str) -> None:
    per = timedelta(milliseconds=300)

    async def paced(limit: RateLimit = RateLimit(1, per=per)) -> None: ...

    docket.register(paced)
    async with working(Worker(docket)):
        first = await docket.add(paced)()
        await first.get_result(timeout=timedelta(seconds=10))
        await docket.add(paced, key="waits")()
        await until(lambda: is_scheduled(docket, "waits"))
        await docket.strike(paced, action=action)  # type: ignore[arg-type]
        await until(lambda: nothing(docket, "moment"))


async def test_a_replaced_run_keeps_its_slot_until_its_body_has_ended(docket: Docket) -> None:
    running = peak = 0
    go_on = asyncio.Event()

    async def work(limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)) -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        try:
            await go_on.wait()
        finally:
            running -= 1

    docket.register(work)
    async with working(Worker(docket)) as worker:
        await docket.add(work, key="one")()
        await until(lambda: _runs(worker))
        for _ in range(3):
            await docket.replace(work, datetime.now(timezone.utc), "one")()
            await docket.add(work)()
        await asyncio.sleep(0.2)
        assert (running, peak) == (1, 1)
        go_on.set()
        await until(lambda: nothing(docket, "slot"))
    assert peak == 1


async def test_a_timeout_gives_the_slot_to_the_next(docket: Docket) -> None:
    ended: list[float] = []

    async def work(
        limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1),
        timeout: Timeout = Timeout(timedelta(milliseconds=50)),
    ) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(time.monotonic())

    docket.register(work)
    await docket.add_many([docket.call(work)() for _ in range(4)])
    async with Worker(docket) as worker:
        await asyncio.wait_for(worker.run_until_finished(), 20)
    assert len(ended) == 4
    assert await kept(docket, "slot") == []


async def test_a_key_that_is_used_again_does_not_pass_its_own_cooldown(docket: Docket) -> None:
    ran: list[int] = []

    async def cooled(limit: Cooldown = Cooldown(HOUR)) -> None:
        ran.append(1)

    docket.register(cooled)
    async with Worker(docket) as worker:
        for _ in range(3):
            await docket.add(cooled, key="sync")()
            await worker.run_until_finished()
            # What the end of its time to live does to a record.
            await docket.storage.connection.send(("DEL", docket.storage.keys.run("sync")))
    assert ran == [1]
    assert await leftovers(docket) == []
