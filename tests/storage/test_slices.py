"""Whatever is done to very many executions is done in slices: no script keeps the others waiting for long."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import Docket, ExecutionState
from docket.storage.claims import Consumer, release
from docket.storage.limits import Entrant, Question, Word
from docket.storage.pages import Pages
from tests.storage.slices import longest

MANY = 450
MOST = 200
"""Records that one script writes to at most."""


async def job() -> None: ...


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://slices") as docket:
        docket.register(job)
        yield docket


async def add(docket: Docket, **options: Any) -> None:
    """Add very many."""
    await docket.add_many([docket.call(job, **options)() for _ in range(MANY)])


async def be_due(docket: Docket) -> None:
    await add(docket)


async def be_future(docket: Docket) -> None:
    await add(docket, when=datetime.now(timezone.utc) + timedelta(hours=1))


async def be_struck(docket: Docket) -> None:
    await docket.strike("job", action="park", reason="INC-7")
    await add(docket)
    await docket.storage.strikes.change("restore", "task:job")


async def be_held(docket: Docket) -> None:
    """One worker holds them all."""
    await add(docket)
    claimant = Consumer("w", "w:1", ("default",), 30_000, 60_000, 60_000, concurrency=MANY)
    exchange = docket.storage.exchange(claimant)
    for held in range(0, MANY, 150):
        _, catch = await exchange.trade([], 150, held=held)
        assert catch is not None
        assert len(catch.claimed) == 150


async def leave_orphans(docket: Docket) -> None:
    """One worker runs what was superseded and still holds its slots."""
    await be_held(docket)
    storage = docket.storage
    held = [record async for record in storage.executions.listed({ExecutionState.RUNNING}, MANY)]
    for one in held:
        entrant = Entrant(one.key, one.identity, 1, one.fence, "w:1")
        answer = await storage.limits.admit(entrant, [Question("slot", "wide", MANY)])
        assert answer.word is Word.ADMITTED
    when = datetime.now(timezone.utc) + timedelta(hours=1)
    await asyncio.gather(*(docket.replace(job, when, one.key)() for one in held))
    assert await orphans(docket) == MANY


async def orphans(docket: Docket) -> int:
    """How many superseded runs the slots are kept for."""
    async with docket.redis() as client:
        return await client.scard(docket.key("orphans:w:1"))


async def clear(docket: Docket) -> int:
    return await docket.clear()


async def acquit(docket: Docket) -> int:
    return len((await docket.storage.strikes.acquit()).released)


async def retire(docket: Docket) -> int:
    return await docket.storage.workers.retire("w", "w:1", ["default"])


async def be_dead(docket: Docket) -> int:
    storage = docket.storage
    return await release(storage.connection, storage.keys, "w:1", ["default"])


@pytest.mark.parametrize(
    ("prepare", "act"),
    [
        (be_due, clear),
        (be_future, clear),
        (be_struck, acquit),
        (be_held, retire),
        (be_held, be_dead),
    ],
)
async def test_very_many_are_treated_in_slices(
    docket: Docket,
    prepare: Callable[[Docket], Awaitable[None]],
    act: Callable[[Docket], Awaitable[int]],
) -> None:
    await prepare(docket)
    async with longest(docket) as took:
        done = await act(docket)
    assert done == MANY
    assert MANY / 10 < took.records <= MOST


async def test_slots_of_very_many_superseded_runs_are_given_back_in_slices_when_their_worker_leaves(
    docket: Docket,
) -> None:
    await leave_orphans(docket)
    async with longest(docket) as took:
        await retire(docket)
    assert await orphans(docket) == 0
    assert MANY / 10 < took.orphans <= MOST


async def test_slots_of_very_many_superseded_runs_are_given_back_by_the_claims_of_others(
    docket: Docket,
) -> None:
    await leave_orphans(docket)
    await docket.storage.connection.send(("ZADD", docket.storage.keys.leases, 1, "w:1"))
    other = Consumer("other", "other:1", ("default",), 30_000, 60_000, 60_000)
    exchange, claims = docket.storage.exchange(other), 0
    async with longest(docket) as took:
        next_expiry: int | None = 0
        while next_expiry == 0:
            _, catch = await exchange.trade([], 1)
            assert catch is not None
            next_expiry, claims = catch.next_expiry, claims + 1
    assert await orphans(docket) == 0
    assert claims > MANY / MOST
    assert MANY / 10 < took.orphans <= MOST
    async with docket.redis() as client:
        assert not await client.exists(docket.key("slots:wide"), docket.key("holding"))


async def test_adding_very_many_is_done_in_slices(docket: Docket) -> None:
    async with longest(docket) as took:
        await add(docket)
    assert MANY / 10 < took.records <= MOST


async def test_what_is_held_is_listed_beyond_its_first_page(docket: Docket) -> None:
    await be_held(docket)
    pages = [
        page
        async for page in Pages(docket.storage.connection, docket.storage.keys, 200).held("default")
    ]
    assert [len(page) for page in pages] == [200, 200, 50]
    assert len({key for page in pages for key in page}) == MANY


async def test_only_what_is_in_a_state_that_was_asked_for_is_listed(docket: Docket) -> None:
    await docket.add(job, key="running")()
    await docket.storage.executions.begin("running", 0, "w:1")
    await docket.add(job, key="queued")()
    queued = docket.storage.executions.listed({ExecutionState.QUEUED})
    assert [record.key async for record in queued] == ["queued"]


async def test_listing_and_clearing_come_to_an_end_however_much_comes_meanwhile(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.storage.executions.LOOKS", 2)
    await add(docket)
    executions = docket.storage.executions
    places = executions._places

    async def places_that_fill(indexes: Sequence[str]) -> AsyncIterator[list[str]]:
        await docket.add(job)()
        async for page in places(indexes):
            yield page

    monkeypatch.setattr(executions, "_places", places_that_fill)
    assert len([one async for one in executions.everything()]) == MANY + 2
    assert await executions.clear(timedelta(minutes=1)) == MANY + 4
