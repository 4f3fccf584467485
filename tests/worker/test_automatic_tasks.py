"""Automatic tasks are always scheduled: at the start, when they are new, when they were lost or struck."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import pytest

from docket import Cron, Docket, Perpetual, Worker
from docket.errors import ServerUnavailable
from docket.foundation.clock import ServerClock
from docket.worker import automatic_tasks
from docket.worker.automatic_tasks import AutomaticTasks
from tests.compat.conftest import (
    least_privileged,
    name,
    pytest_generate_tests,
    until,
    url,
    working,
)
from tests.fleet.process import ServerProcess

__all__ = ["least_privileged", "name", "pytest_generate_tests", "url"]

runs: list[str] = []
SOON = timedelta(milliseconds=20)


async def poll(perpetual: Perpetual = Perpetual(timedelta(hours=1), automatic=True)) -> None:
    runs.append("poll")


async def often(perpetual: Perpetual = Perpetual(SOON, automatic=True)) -> None:
    runs.append("often")


async def yearly(cron: Cron = Cron("0 0 1 1 *")) -> None:
    runs.append("yearly")


async def by_hand(perpetual: Perpetual = Perpetual(SOON)) -> None:
    runs.append("by hand")


@pytest.fixture
async def docket(url: str, name: str) -> AsyncIterator[Docket]:
    runs.clear()
    async with Docket(name, url, heartbeat_interval=timedelta(milliseconds=50)) as docket:
        yield docket


async def is_live(docket: Docket, key: str) -> bool:
    execution = await docket.get_execution(key)
    return execution is not None and not execution.state.is_terminal


async def test_automatic_tasks_are_scheduled_when_a_worker_starts(docket: Docket) -> None:
    for task in (poll, yearly, by_hand):
        docket.register(task)

    async with Worker(docket) as worker, working(worker):
        await until(lambda: _ran("poll"))
        execution = await docket.get_execution("yearly")
        assert execution is not None
        assert execution.when > datetime.now(timezone.utc)
        assert await docket.get_execution("by_hand") is None

    assert runs == ["poll"]


async def _ran(task: str, times: int = 1) -> bool:
    return runs.count(task) >= times


async def test_one_that_is_scheduled_already_is_left_alone(docket: Docket) -> None:
    later = datetime.now(timezone.utc) + timedelta(hours=3)
    await docket.add(poll, when=later, key="poll")()

    async with Worker(docket) as worker, working(worker):
        execution = await docket.get_execution("poll")

    assert execution is not None
    assert abs(execution.when - later) < timedelta(milliseconds=2)
    assert runs == []


async def test_two_workers_schedule_it_once(url: str, docket: Docket) -> None:
    async with Docket(docket.name, url) as other:
        for one in (docket, other):
            one.register(poll)
        async with Worker(docket) as first, Worker(other) as second:
            async with working(first), working(second):
                await until(lambda: _ran("poll"))
                await asyncio.sleep(0.1)

    assert runs == ["poll"]


async def test_one_that_is_registered_later_is_scheduled_soon(docket: Docket) -> None:
    async with Worker(docket) as worker, working(worker):
        docket.register(poll)
        await until(lambda: _ran("poll"))

    assert runs == ["poll"]


async def test_one_that_was_struck_comes_back_to_life_when_it_is_restored(docket: Docket) -> None:
    docket.register(often)
    async with Worker(docket) as worker, working(worker):
        await until(lambda: _ran("often", 2))
        await docket.strike("often")

        async def has_died() -> bool:
            return not await is_live(docket, "often")

        await until(has_died)
        before = len(runs)
        await docket.restore("often")
        await until(lambda: _ran("often", before + 2))


async def test_one_that_was_lost_or_cancelled_is_scheduled_again_after_a_while(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automatic_tasks, "RESEED", 0.1)
    docket.register(poll)
    async with Worker(docket) as worker, working(worker):
        await until(lambda: _ran("poll", 1))
        await until(lambda: is_live(docket, "poll"))
        await docket.cancel("poll")
        await until(lambda: _ran("poll", 2))
        async with docket.redis() as client:
            await client.delete(docket.runs_key("poll"), docket.queue_key)
        await until(lambda: _ran("poll", 3))


async def test_it_is_looked_after_every_minute() -> None:
    assert automatic_tasks.RESEED == 60


async def test_a_server_that_is_away_is_asked_again(
    own_server: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    brief = timedelta(milliseconds=20)
    async with Docket("perpetuals", own_server.url, heartbeat_interval=brief) as docket:
        docket.register(poll)
        service = AutomaticTasks(docket, ServerClock())
        await service.prepare()
        seed = service._seed

        async def sometimes() -> None:
            asked.append("asked")
            if len(asked) == 1:
                raise ServerUnavailable("away")
            await seed()

        monkeypatch.setattr(service, "_seed", sometimes)
        docket.register(often)
        running = asyncio.create_task(service.run())
        await until(lambda: is_live(docket, "often"))
        running.cancel()

    assert len(asked) >= 2
