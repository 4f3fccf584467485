"""Listings see what moves, end where they are full, and go on beside odd records; clear leaves nothing."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta, timezone
from typing import cast

import pytest

from docket import Docket, ExecutionState, Worker
from docket.storage.pages import Pages
from tests.compat.conftest import (
    docket,
    least_privileged,
    name,
    pytest_generate_tests,
    soon,
    url,
    working,
)
from tests.fleet.process import ServerProcess

__all__ = ["docket", "least_privileged", "name", "pytest_generate_tests", "url"]

ALL = (ExecutionState.RUNNING, ExecutionState.QUEUED, ExecutionState.SCHEDULED)


async def nothing(number: int = 0) -> None: ...


async def wait(number: int = 0) -> None:
    await asyncio.sleep(60)


async def listed(docket: Docket, most: int) -> list[str]:
    found: list[str] = []
    async for record in docket.storage.executions.listed(ALL, most):
        found.append(record.key)
        if len(found) == most:
            break
    return found


async def test_pages_go_on_behind_a_member_whatever_leaves_before_it(docket: Docket) -> None:
    members = {f"k{number:03}": number // 40 for number in range(100)} | {"é": 2, "k": 2}
    async with docket.redis() as client:
        await client.zadd(docket.storage.keys.future, members)
        found: list[str] = []
        async for page in Pages(docket.storage.connection, docket.storage.keys, 7).index("queue"):
            found += page
            # What was read leaves, in part to come back elsewhere, and what is not read yet comes closer.
            await client.zrem(docket.storage.keys.future, *page[:5])
            await client.zadd(docket.storage.keys.future, {page[-1]: 50})
    # What has moved on to a later place is met there once more.
    assert {*found} == {*members}
    assert [one for one in found if one == "k"] == ["k"]
    ordered = sorted(members, key=lambda key: (members[key], key.encode()))
    assert [*dict.fromkeys(found)] == ordered


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_work_of_one_moment_is_paged_by_its_keys(docket: Docket, size: int) -> None:
    keys = docket.storage.keys
    async with docket.redis() as client:
        await client.zadd(keys.future, {f"{number:02}": 5 for number in range(10)})
        pages = Pages(docket.storage.connection, keys, size).index("queue")
        found: list[str] = []
        async for page in pages:
            found += page
            await client.zrem(keys.future, *page)
    assert found == [f"{number:02}" for number in range(10)]


@pytest.mark.parametrize("taken", [0, 1])
async def test_the_last_ones_come_first_whatever_of_them_leaves(docket: Docket, taken: int) -> None:
    keys = docket.storage.keys
    members = {f"{number:02}": number // 4 for number in range(10)}
    sizes: list[int] = []
    found: list[str] = []
    async with docket.redis() as client:
        await client.zadd(keys.dead, members)
        async for page in Pages(docket.storage.connection, keys, 1, 4).index(
            "dead", backwards=True
        ):
            sizes.append(len(page))
            found += page
            await client.zadd(keys.dead, {f"new {len(found)}": 9})
            if taken:
                await client.zrem(keys.dead, *page)
    assert found == [*reversed(members)]
    assert sizes == [1, 2, 4, 3]


async def test_running_work_is_listed_first_then_queued_then_scheduled(docket: Docket) -> None:
    docket.register(wait)
    docket.register(nothing)
    await docket.add(nothing, when=soon(), key="later")()
    async with Worker(docket, concurrency=2) as worker, working(worker):
        for key in ("a", "b"):
            await (await docket.add(wait, key=key)()).sync()
        while [one.key for one in (await docket.snapshot()).running] != ["a", "b"]:
            await asyncio.sleep(0.01)
        await docket.add(nothing, key="c")()
        assert await listed(docket, 10) == ["a", "b", "c", "later"]
        assert await listed(docket, 3) == ["a", "b", "c"]
        assert await listed(docket, 1) == ["a"]
        assert await docket.storage.executions.stock() == (2, 1, 1)
        for key in ("a", "b"):
            await docket.cancel(key)


async def test_clear_takes_what_falls_due_and_what_is_put_off_meanwhile(docket: Docket) -> None:
    docket.register(nothing)
    start = datetime.now(timezone.utc) + timedelta(seconds=0.5)
    await docket.add_many(
        docket.call(nothing, start + timedelta(milliseconds=number))(number)
        for number in range(3_000)
    )
    async with Docket(docket.name, docket.url) as other, Worker(docket, concurrency=50) as worker:
        async with working(worker):
            await asyncio.sleep(0.7)
            await other.clear()
            assert (await docket.snapshot()).future == []


async def test_clear_leaves_what_runs_and_what_is_parked(docket: Docket) -> None:
    docket.register(wait)
    docket.register(nothing)
    async with Worker(docket) as worker, working(worker):
        await docket.add(wait, key="runs")()
        while not (await docket.snapshot()).running:
            await asyncio.sleep(0.01)
        await docket.strike(nothing, action="park")
        await docket.add(nothing, key="parked")()
        async with docket.redis() as client:
            await client.zadd(docket.storage.keys.future, {"runs": 1, "parked": 2, "gone": 3})
        assert await docket.clear() == 0
        runs, parked = await docket.get_execution("runs"), await docket.get_execution("parked")
        assert runs is not None
        assert parked is not None
        assert (runs.state, parked.state) == (ExecutionState.RUNNING, ExecutionState.PARKED)
        await docket.cancel("runs")


async def test_suspects_are_seen_and_cleared(docket: Docket) -> None:
    docket.register(nothing)
    keys = docket.storage.keys
    await docket.add(nothing, key="suspect")()
    async with docket.redis() as client:
        # As the recovery of a dead worker's runs leaves it.
        entries = cast(list[tuple[bytes, object]], await client.xrange(keys.stream()))
        await client.xdel(keys.stream(), entries[0][0])
        await client.zadd(keys.suspects(), {"suspect": 1})

    assert await listed(docket, 5) == ["suspect"]
    assert [one.key for one in (await docket.snapshot()).future] == ["suspect"]
    assert await docket.clear() == 1
    async with docket.redis() as client:
        assert not await client.exists(keys.suspects())


async def test_odd_records_are_left_out_and_break_nothing(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    docket.register(nothing)
    keys = docket.storage.keys
    await docket.add_many(docket.call(nothing, soon(), key)() for key in ("good", "odd", "type"))
    async with docket.redis() as client:
        await client.hset(keys.run("odd"), "state", "floating")
        await client.delete(keys.run("type"))
        await client.set(keys.run("type"), "not ours")
        await client.xadd(keys.stream(), {"what": "ever"})
        await client.xadd(keys.stream(), {"a": b"\xff\xfe"})

    assert [one.key for one in (await docket.snapshot()).future] == ["good"]
    assert sorted(str(record.args) for record in caplog.records) == ["('odd',)", "('type',)"]
    assert await listed(docket, 10) == ["good"]
    assert (await docket.strike_preview(nothing)).scheduled == 1
    assert await docket.clear() == 1


@pytest.mark.fleet
async def test_a_listing_of_fifty_reads_fifty(own_server: ServerProcess) -> None:
    async with Docket("many", own_server.url) as docket:
        docket.register(nothing)
        await docket.add_many(docket.call(nothing)(number) for number in range(2_000))
        await docket.add_many(docket.call(nothing, soon())(number) for number in range(2_000))
        own_server.call("CONFIG", "RESETSTAT")
        assert len(await listed(docket, 50)) == 50
        async with docket.redis() as client:
            stats = await client.info("commandstats")
    assert sum(one["calls"] for one in stats.values()) <= 100


async def test_executions_of_one_task_that_is_not_known_here_share_what_stands_for_it(
    docket: Docket,
) -> None:
    docket.register(nothing)
    await docket.add_many(docket.call(nothing, soon())(number) for number in range(3))
    del docket.tasks["nothing"]
    # Its signature is looked at once, and not for each of a hundred thousand.
    assert len({one.function for one in (await docket.snapshot()).future}) == 1
