"""Queues that ever got work are known, whatever becomes of the routes that led there."""

from __future__ import annotations

from datetime import timedelta

import pytest

from docket import Docket, ExecutionState, Worker
from docket.storage.claims import Consumer
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
from tests.routing import route

__all__ = ["docket", "least_privileged", "name", "pytest_generate_tests", "url"]


async def nothing() -> None: ...


async def routed_once(docket: Docket, key: str = "lost") -> None:
    """Put work into a queue whose route is taken back at once."""
    docket.register(nothing)
    await route(docket.storage, {"nothing": "bulk"})
    await docket.add(nothing, key=key)()
    await route(docket.storage, {})


async def test_work_in_a_queue_without_a_route_is_seen_and_counted(docket: Docket) -> None:
    await routed_once(docket)

    executions = docket.storage.executions
    assert await executions.queues() == ["bulk", "default"]
    assert (await executions.backlog()).due == {"bulk": 1, "default": 0}
    assert await executions.depths(await executions.queues()) == (1, 0)
    assert [one.key for one in (await docket.snapshot()).future] == ["lost"]


async def let_fall_due(docket: Docket, *keys: str) -> None:
    """Have executions be due, while nobody looks."""
    async with docket.redis() as client:
        await client.zadd(docket.queue_key, {key: at for at, key in enumerate(keys, 1)})


async def test_what_is_overdue_counts_for_its_queue_though_nobody_has_taken_it(
    docket: Docket,
) -> None:
    docket.register(nothing)
    await route(docket.storage, {"nothing": "bulk"})
    await docket.add(nothing, soon(), "late")()
    await docket.add(nothing, soon(), "future")()
    await route(docket.storage, {})
    await docket.add(nothing, soon(), "late, too")()
    await let_fall_due(docket, "late", "late, too")
    executions = docket.storage.executions

    assert await executions.depths(["default"]) == (0, 3)
    assert await executions.depths(["default"], await executions.now()) == (2, 1)
    backlog = await executions.backlog()
    assert (backlog.due, backlog.future) == ({"bulk": 1, "default": 1}, 1)


async def test_how_long_work_waits_that_nobody_has_taken_is_told_and_which_queues_are_paused(
    docket: Docket,
) -> None:
    docket.register(nothing)
    queues = docket.storage.queues
    assert (await queues.waits(["default"]))["default"] == (None, False)

    await docket.add(nothing, key="taken")()
    consumer = Consumer("w", "w:1", ("default",), 30_000, 60_000, 60_000, concurrency=1)
    await docket.storage.exchange(consumer).trade([], 1)
    assert (await queues.waits(["default"]))["default"].longest is None
    await docket.add(nothing, key="free")()
    await docket.operations.pause_queues("bulk", author="ann")
    await docket.operations.pause_queues("slow", author="ann", lasting=timedelta(milliseconds=1))
    await route(docket.storage, {"nothing": "bulk"})
    await docket.add(nothing, soon(), "late")()
    await let_fall_due(docket, "late")

    async def is_over() -> bool:
        return not (await queues.waits(["slow"]))["slow"].is_paused

    await until(is_over)
    waits = await queues.waits(["default", "bulk", "bulk/high"])
    assert waits["default"].longest is not None
    assert waits["default"].longest < timedelta(minutes=1)
    assert (waits["bulk"].longest or timedelta()) > timedelta(days=1)
    assert [one.is_paused for one in waits.values()] == [False, True, True]


async def test_what_is_overdue_is_spread_as_the_first_of_it_are(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.storage.executions.SAMPLE", 2)
    docket.register(nothing)
    for number, routes in enumerate(({"nothing": "bulk"}, {}, {}, {}, {})):
        await route(docket.storage, routes)
        await docket.add(nothing, soon(), f"{number}")()
    await let_fall_due(docket, *"01234")

    backlog = await docket.storage.executions.backlog()
    assert (backlog.due, backlog.future) == ({"bulk": 3, "default": 2}, 0)


async def test_work_in_a_queue_without_a_route_is_cleared(docket: Docket) -> None:
    await routed_once(docket)

    assert await docket.clear() == 1
    execution = await docket.get_execution("lost")
    assert execution is not None
    assert execution.state is ExecutionState.CANCELLED


async def test_a_queue_that_only_ever_got_future_work_is_known_when_it_falls_due(
    docket: Docket,
) -> None:
    docket.register(nothing)
    await route(docket.storage, {"nothing": "bulk"})
    await docket.add(nothing, when=soon(0.2), key="later")()
    await route(docket.storage, {})
    async with Worker(docket) as worker, working(worker):

        async def is_known() -> bool:
            return "bulk" in await docket.storage.executions.queues()

        await until(is_known)
    assert (await docket.storage.executions.backlog()).due["bulk"] == 1


async def test_a_queue_that_is_only_served_is_known(docket: Docket) -> None:
    async with Worker(docket, queues=["fast"], redelivery_timeout=timedelta(seconds=2)) as worker:
        async with working(worker):
            pass
    assert await docket.storage.executions.queues() == ["default", "fast"]


async def fails() -> None:
    raise ArithmeticError


async def test_a_dead_letter_counts_as_long_as_its_record_is_kept(docket: Docket) -> None:
    docket.register(fails)
    executions = docket.storage.executions
    await docket.add(fails, key="one")()
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    assert (await executions.count_dead(), (await executions.backlog()).dead) == (1, 1)

    async with docket.redis() as client:
        # Its record expired long ago, and nothing has died since.
        await client.zadd(docket.storage.keys.dead, {"one": 1})
    assert (await executions.count_dead(), (await executions.backlog()).dead) == (0, 0)
