"""What was parked for want of a worker that knows it is taken up by one that does, as it has room."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta

import pytest

from docket import Docket, Worker
from docket.instrumentation.events import Observer
from docket.worker.services.unparking import Unparking
from tests.fleet.process import ServerProcess

BRIEF = timedelta(milliseconds=20)


async def note(number: int) -> int:
    return number


async def park(docket: Docket) -> None:
    """Have an execution lie parked: who added it knows the task, the worker that met it did not."""
    await docket.add(note)(1)
    async with Docket(docket.name, docket.url) as ignorant, Worker(ignorant) as worker:
        await worker.run_until_finished()
    assert await docket.storage.workers.parked() == 1


class Host:
    """What there is of a worker."""

    def __init__(self, docket: Docket, free: int) -> None:
        self.free = free
        self.looked = asyncio.Event()
        self.unparking = Unparking(docket, Observer(), lambda: self.free, self.looked.set)


async def test_what_is_parked_waits_until_the_worker_has_room() -> None:
    async with Docket(uuid.uuid4().hex, "memory://unparking", heartbeat_interval=BRIEF) as docket:
        await park(docket)
        host = Host(docket, free=0)
        assert await host.unparking._take_up()
        assert await docket.storage.workers.parked() == 1
        await host.unparking.start()
        host.free = 1

        await asyncio.wait_for(host.looked.wait(), 60)

        await host.unparking.stop()
        assert await docket.storage.workers.parked() == 0


@pytest.mark.fleet
async def test_what_is_parked_is_taken_up_after_an_outage(own_server: ServerProcess) -> None:
    async with Docket("unparking", own_server.url, heartbeat_interval=BRIEF) as docket:
        await park(docket)
        host = Host(docket, free=1)
        own_server.kill()
        await host.unparking.start()
        while host.unparking.is_under_way:
            await asyncio.sleep(0.01)
        assert not host.looked.is_set()

        await asyncio.to_thread(own_server.start)
        await asyncio.wait_for(host.looked.wait(), 60)

        await host.unparking.stop()
        assert await docket.storage.workers.parked() == 0


async def test_what_is_odd_with_parked_work_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Docket(uuid.uuid4().hex, "memory://unparking", heartbeat_interval=BRIEF) as docket:
        await park(docket)
        async with docket.redis() as client:
            groups = docket.storage.keys.parked_groups
            await client.rename(groups, f"{groups} kept")
            await client.set(groups, "not ours")
            host = Host(docket, free=1)
            looks: list[int] = []
            take_up = host.unparking._take_up

            async def counted() -> bool:
                looks.append(1)
                return await take_up()

            monkeypatch.setattr(host.unparking, "_take_up", counted)
            await host.unparking.start()
            while len(looks) < 4:
                await asyncio.sleep(0.01)
            assert caplog.text.count("Parked work cannot be looked at") == 1

            await client.rename(f"{groups} kept", groups)
        await asyncio.wait_for(host.looked.wait(), 60)
        await host.unparking.stop()


async def test_what_another_worker_has_taken_up_first_gives_no_work() -> None:
    async with Docket(uuid.uuid4().hex, "memory://unparking", heartbeat_interval=BRIEF) as docket:
        await park(docket)
        host = Host(docket, free=1)
        reason = "unknown_task"
        assert await host.unparking._release(reason, ["note"], 1)
        host.looked.clear()

        assert not await host.unparking._release(reason, ["note"], 1)
        assert not host.looked.is_set()


class Unusual:
    """A value that no codec but pickle takes."""

    def __init__(self, path: str) -> None:
        self.path = path


async def open_up(what: Unusual) -> str:
    return what.path


async def test_what_the_codecs_here_refuse_is_parked_and_taken_up_where_they_allow_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    name, url = uuid.uuid4().hex, "memory://unparking"
    async with Docket(name, url, config=False, heartbeat_interval=BRIEF) as docket:
        execution = await docket.add(open_up)(Unusual("here"))
        async with Docket(name, url, config=False, codecs=("safe",)) as careful:
            careful.register(open_up)
            async with Worker(careful) as worker:
                await worker.run_until_finished()
            assert not await Unparking(careful, Observer(), lambda: 1, lambda: None)._take_up()
        await execution.sync()
        assert (execution.state.value, execution.reason) == ("parked", "codec security.codecs")
        assert "codec security.codecs" in caplog.text

        docket.register(open_up)
        async with Worker(docket) as worker:
            await worker.run_at_most({execution.key: 1})

        assert await execution.get_result() == "here"
