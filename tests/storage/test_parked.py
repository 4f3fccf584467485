"""Parked work is found by what is asked: by reason and task, or by the rule that keeps it."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Monitor

from docket import Docket, ExecutionState, Worker
from docket.storage.parked import Group
from tests.compat.conftest import (
    docket,
    least_privileged,
    name,
    pytest_generate_tests,
    soon,
    until,
    url,
    working,
)
from tests.fleet.process import ServerProcess

__all__ = ["docket", "least_privileged", "name", "pytest_generate_tests", "url"]


async def charge(customer: str = "") -> None: ...


async def parked_by_a_strike(docket: Docket, count: int) -> list[str]:
    docket.register(charge)
    await docket.strike(charge, action="park")
    added = await docket.add_many([docket.call(charge)() for _ in range(count)])
    return [execution.key for execution in added]


async def states(docket: Docket, *keys: str) -> set[ExecutionState]:
    found = [await docket.get_execution(key) for key in keys]
    return {one.state for one in found if one is not None}


async def commands_until(monitor: Monitor, name: str, times: int) -> list[str]:
    """The commands that the server executes, those of scripts included, until some have had this name."""
    seen: list[str] = []
    async for command in monitor.listen():
        seen.append(command["command"])
        times -= name in seen[-1]
        if not times:
            break
    return seen


@pytest.mark.fleet
async def test_an_idle_worker_looks_at_no_work_that_others_keep_parked(
    own_server: ServerProcess,
) -> None:
    beat = timedelta(milliseconds=20)
    async with Docket("idle", own_server.url, heartbeat_interval=beat) as docket:
        groups = docket.storage.keys.parked_groups
        parked = [docket.storage.keys.parked_group(""), docket.storage.keys.run("")]
        await parked_by_a_strike(docket, 500)
        async with docket.redis() as client, Worker(docket) as worker, working(worker):
            assert isinstance(client, Redis)
            async with client.monitor() as monitor:
                # The first looks, at the start, may find something.
                await commands_until(monitor, groups, times=3)
                seen = await commands_until(monitor, groups, times=10)
    assert not [command for command in seen if any(name in command for name in parked)]


async def test_a_restored_strike_releases_its_own_and_no_other(docket: Docket) -> None:
    keys = await parked_by_a_strike(docket, 450)
    await docket.strike(charge, "customer", "==", "acme", action="park")
    await docket.restore(charge)
    acme = await docket.add(charge)("acme")
    await docket.strike(charge, action="park")
    later = await docket.add(charge, when=soon())()

    await docket.restore(charge)

    assert await states(docket, *keys) == {ExecutionState.QUEUED}
    assert await states(docket, later.key) == {ExecutionState.SCHEDULED}
    assert await states(docket, acme.key) == {ExecutionState.PARKED}
    groups = await docket.storage.workers.parked_groups()
    assert [group.reason for group in groups] == ["struck"]


async def test_cancelled_and_replaced_parked_work_leaves_its_group(docket: Docket) -> None:
    keys = await parked_by_a_strike(docket, 2)
    assert await docket.storage.workers.parked_groups() == [Group("struck", "task:charge")]
    await docket.strike_list.lift(next(iter(docket.strike_list.rules.values())))
    keys = await parked_by_a_strike(docket, 2)

    await docket.cancel(keys[0])
    async with docket.redis() as client:
        await client.hdel(docket.storage.keys.strikes, "task:charge")
    await docket.replace(charge, soon(), keys[1])()

    assert await docket.storage.workers.parked_groups() == []
    assert await docket.storage.workers.parked() == 0


async def test_what_a_group_wrongly_holds_is_dropped_from_it(docket: Docket) -> None:
    (key,) = await parked_by_a_strike(docket, 1)
    live = await docket.add(charge, when=soon())()
    keys = docket.storage.keys
    async with docket.redis() as client:
        await client.zadd(f"{keys.parked}:unknown_task:charge", {key: 1, live.key: 2, "gone": 3})
        await client.sadd(keys.parked_groups, "unknown_task:charge", "unknown_task:nobody")

    done = await docket.storage.workers.unpark("unknown_task", ["charge", "nobody"])

    assert done == ([], [])
    assert await docket.storage.workers.parked_groups() == [Group("struck", "task:charge")]
    assert await states(docket, key, live.key) == {ExecutionState.PARKED}


async def test_a_record_of_another_type_is_put_aside_and_the_others_are_released(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    bad, *good = await parked_by_a_strike(docket, 3)
    async with docket.redis() as client:
        await client.delete(docket.storage.keys.run(bad))
        await client.set(docket.storage.keys.run(bad), "not ours")

    await docket.restore(charge)

    assert await states(docket, *good) == {ExecutionState.QUEUED}
    assert await docket.storage.workers.parked() == 0
    assert [record.args for record in caplog.records] == [(bad,)]
    async with docket.redis() as client:
        assert await client.get(docket.storage.keys.run(bad)) == b"not ours"


async def test_a_worker_starts_beside_a_parked_record_of_another_type(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    async with Docket(docket.name, docket.url) as ignorant:
        for key in ("bad", "good"):
            docket.register(charge)
            await docket.add(charge, key=key)()
        async with Worker(ignorant) as worker:
            await worker.run_until_finished()
    async with docket.redis() as client:
        await client.delete(docket.storage.keys.run("bad"))
        await client.set(docket.storage.keys.run("bad"), "not ours")

    async with Worker(docket, redelivery_timeout=timedelta(seconds=2)) as worker:
        async with working(worker):

            async def has_run() -> bool:
                return await states(docket, "good") == {ExecutionState.COMPLETED}

            await until(has_run)
    assert [record.args for record in caplog.records if "no record" in record.message] == [("bad",)]


async def test_what_cannot_be_looked_at_ends_no_worker(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    docket.register(charge)
    async with docket.redis() as client:
        await client.set(docket.storage.keys.parked_groups, "not ours")
    async with Worker(docket) as worker, working(worker):
        added = await docket.add(charge)()

        async def has_run() -> bool:
            return await states(docket, added.key) == {ExecutionState.COMPLETED}

        await until(has_run)
    assert "Parked work cannot be looked at" in caplog.text
