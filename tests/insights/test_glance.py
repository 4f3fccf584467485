"""A docket at a glance: queues, what ends, who works, and what is due next, in few round trips."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest

from docket import Docket, Worker
from docket.connection.base import Command, Reply
from docket.connection.standalone import Standalone
from tests.conformance.conftest import until, working
from tests.routing import route
from tests.schedules.conftest import Host

SCHEDULES = "".join(f"[schedules.s{at}]\nat = 2099-01-01T00:00:0{at}Z\n" for at in range(7))


@pytest.mark.thorough
async def test_a_glance_tells_how_a_docket_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    release, begun = asyncio.Event(), asyncio.Event()

    async def quick() -> None: ...

    async def slow() -> None:
        begun.set()
        await release.wait()

    trips: list[int] = []
    send = Standalone.send

    async def counted(self: Standalone, *commands: Command) -> list[Reply]:
        trips.append(len(commands))
        return await send(self, *commands)

    async with Docket(uuid.uuid4().hex, "memory://glance") as docket:
        docket.register(quick)
        docket.register(slow)
        await Host(docket).declare(SCHEDULES)
        await docket.operations.pause_queues("bulk", author="ann")
        await docket.add(quick)()
        await docket.add(slow)()
        worker = Worker(docket, name="w1", concurrency=3)
        async with worker, working(worker):
            await begun.wait()

            async def is_counted() -> bool:
                return bool((await docket.insights.glance()).tasks)

            await until(is_counted)
            await route(docket.storage, {"quick": "bulk"})
            await docket.add(quick)()
            await docket.add(quick, key="later", expires=None)()
            await docket.cancel("later")
            monkeypatch.setattr(Standalone, "send", counted)
            glance = await docket.insights.glance()
            monkeypatch.setattr(Standalone, "send", send)
            worker.concurrency = 5

            async def is_announced() -> bool:
                ((found),) = (await docket.insights.glance()).workers
                return found.slots == 5

            await until(is_announced)
            release.set()
        async with docket.redis() as client:
            any_client: Any = client
            await any_client.set(docket.key("stream:odd"), "none of ours")
            await any_client.sadd(docket.key("queues"), "odd")
            assert (await docket.storage.glances.look(["odd"], 1)).held == {}

    assert len(trips) <= 12
    bulk, default = glance.queues
    assert (bulk.name, bulk.depth, bulk.is_paused) == ("bulk", 1, True)
    assert bulk.longest is not None
    assert bulk.longest < timedelta(minutes=1)
    assert (default.depth, default.longest, default.is_paused) == (1, None, False)
    assert [(one.task, one.total.counts) for one in glance.tasks] == [("quick", {"completed": 1})]
    assert [(one.name, one.slots, one.running) for one in glance.workers] == [("w1", 3, 1)]
    assert [one.name.partition("/")[2] for one in glance.schedules] == [
        *("s0", "s1", "s2", "s3", "s4")
    ]
    assert (glance.future, glance.waiting, glance.parked, glance.dead) == (0, 0, 0, 0)
    assert timedelta(minutes=4) <= glance.now - glance.since <= timedelta(minutes=5)
