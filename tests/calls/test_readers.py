"""A call that no worker could read is refused where it is added."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from docket import Disposition, Docket, Worker
from docket.errors import NotSerializable

SAFE, ALL = ("safe",), ("safe", "pickle")


class Unknown:
    """What only pickle can keep."""


async def keep(value: object) -> None: ...


@pytest.fixture
def name() -> str:
    return f"readers-{uuid.uuid4().hex[:12]}"


@asynccontextmanager
async def working(name: str, codecs: tuple[str, ...]) -> AsyncGenerator[Docket]:
    """A worker that reads these codecs."""
    docket = Docket(name, "memory://readers", codecs=codecs)
    docket.register(keep)
    async with docket, Worker(docket, name=uuid.uuid4().hex) as worker:
        running = asyncio.create_task(worker.run_forever())
        while worker.name not in {one.name for one in await docket.workers()}:
            await asyncio.sleep(0.01)
        yield docket
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def adding(name: str, interval: float = 2.0) -> AsyncGenerator[Docket]:
    async with Docket(
        name, "memory://readers", heartbeat_interval=timedelta(seconds=interval)
    ) as docket:
        yield docket


async def test_what_no_worker_reads_is_refused_where_it_is_added(name: str) -> None:
    async with working(name, SAFE), adding(name) as docket:
        with pytest.raises(NotSerializable, match="call of keep with pickled parts"):
            await docket.add(keep, key="k")(Unknown())

        assert await docket.get_execution("k") is None


async def test_of_a_batch_with_something_that_no_worker_reads_nothing_is_added(name: str) -> None:
    async with working(name, SAFE), adding(name) as docket:
        calls = [docket.call(keep, key="k")(1), docket.call(keep, key="other")(Unknown())]
        with pytest.raises(NotSerializable, match="call of keep with pickled parts"):
            await docket.add_many(calls)

        assert await docket.get_execution("k") is None


async def test_plain_values_are_read_by_all(name: str) -> None:
    async with working(name, SAFE), adding(name) as docket:
        execution = await docket.add(keep)({"a": [1, 2]})

        assert execution.disposition is Disposition.SCHEDULED


async def test_one_worker_that_reads_it_is_enough_and_is_remembered_for_a_while(name: str) -> None:
    async with working(name, SAFE), adding(name, 60) as docket:
        async with working(name, ALL):
            await docket.add(keep)(Unknown())
        # It has left; what it said holds as long as a beat.
        await docket.add(keep)(Unknown())


async def test_where_nobody_works_yet_everything_is_accepted(name: str) -> None:
    async with working(name, SAFE):
        pass
    async with adding(name) as docket:
        execution = await docket.add(keep)(Unknown())

        assert execution.disposition is Disposition.SCHEDULED


async def test_workers_that_do_not_say_what_they_read_may_read_all(name: str) -> None:
    async with adding(name) as docket:
        await docket.storage.workers.register("silent", ["keep"], docket.silence)

        execution = await docket.add(keep)(Unknown())

        assert execution.disposition is Disposition.SCHEDULED
