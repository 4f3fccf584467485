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
from typing import Annotated, Any, Literal

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
SLOT = ("slots:", "waiters:", "waiting", "holding", "sizes", "orphans:")
GATES = {
    "slot": SLOT,
    "moment": ("moments:",),
    "debounce": ("debounce:",),
    # Nobody waits for a cooldown; whoever waits behind one has not set it.
    "cooldown": (*SLOT, "cooldown:lane:waits"),
}
"""What is written for whoever waits at a gate."""


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(f"f33-{uuid.uuid4().hex[:12]}", "memory://faults") as docket:
        yield docket


def tasks(window: timedelta) -> dict[str, Any]:
    """A task for each gate; the gates that wait for a time wait for so long."""

    async def held(
        lane: str, limit: ConcurrencyLimit = ConcurrencyLimit("lane", max_concurrent=1)
    ) -> None:
        await asyncio.sleep(60)

    async def rated(lane: str, limit: RateLimit = RateLimit(1, per=window)) -> None: ...

    async def settled(lane: str, limit: Debounce = Debounce(window)) -> None: ...

    async def cooled(
        lane: Annotated[str, Cooldown(HOUR)],
        limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1),
    ) -> None:
        await asyncio.sleep(60)

    return {"slot": held, "moment": rated, "debounce": settled, "cooldown": cooled}


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


async def one_waits(docket: Docket, worker: Worker, gate: str) -> None:
    """Have one execution of the task wait at its gate, whatever that takes."""
    first = await docket.add(gate, key="first")("same")
    if gate in ("slot", "cooldown"):
        await until(lambda: _runs(worker))
    elif gate == "moment":
        await first.get_result(timeout=timedelta(seconds=60))
    else:
        await docket.cancel("first")
    await docket.add(gate, key="waits")("waits" if gate == "cooldown" else "same")
    await until(lambda: is_scheduled(docket, "waits"))
    assert await kept(docket, gate)


@pytest.mark.parametrize("gate", list(GATES))
@pytest.mark.parametrize("how", ["cancel", "replace"])
async def test_whoever_waits_at_a_gate_and_is_taken_away_leaves_nothing_there(
    docket: Docket, gate: str, how: str
) -> None:
    async def free() -> None: ...

    docket.register(tasks(HOUR)[gate], [gate])
    docket.register(free, ["free"])
    async with working(Worker(docket)) as worker:
        await one_waits(docket, worker, gate)
        if how == "cancel":
            await docket.cancel("waits")
        else:
            await docket.replace("free", datetime.now(timezone.utc), "waits")()
        await docket.cancel("first")

        await until(lambda: nothing(docket, gate))


STRIKES = [
    (gate, action)
    for gate in GATES
    for action in ("drop", "park", "delay")
    # Who is put off by a strike still runs for all whom its debounce has dropped.
    if (gate, action) != ("debounce", "delay")
]


@pytest.mark.parametrize(("gate", "action"), STRIKES)
async def test_a_strike_frees_what_those_have_at_a_gate_that_it_keeps_back(
    docket: Docket, gate: str, action: Literal["drop", "park", "delay"]
) -> None:
    clock = docket.storage.clock
    await clock.stop()
    docket.register(tasks(HOUR)[gate], [gate])
    async with working(Worker(docket)) as worker:
        await one_waits(docket, worker, gate)
        await docket.strike(gate, action=action, delay=HOUR if action == "delay" else None)
        await docket.cancel("first")
        if gate in ("moment", "debounce"):
            # What it waits for comes.
            await clock.move((await clock.look()).now + 2 * HOUR // timedelta(milliseconds=1))
            worker._round_trips.look()

        await until(lambda: nothing(docket, gate))


async def _runs(worker: Worker) -> bool:
    return worker.in_flight == 1


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
        await asyncio.wait_for(worker.run_until_finished(), 60)
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
