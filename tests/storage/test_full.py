"""At a server whose memory is full, work that was accepted goes on, and can be stopped."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import pytest

from docket import ConcurrencyLimit, Docket, ExecutionState, Progress, Worker
from docket.errors import ServerFull
from docket.storage.executions import NewExecution
from docket.storage.scripting.nonces import FRESH
from tests.conformance.conftest import until, working
from tests.fleet.process import ServerProcess

pytestmark = pytest.mark.fleet

BEAT = timedelta(milliseconds=50)


@pytest.fixture
async def docket(own_server: ServerProcess) -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, own_server.url, heartbeat_interval=BEAT) as docket:
        yield docket


def fill(server: ServerProcess) -> None:
    server.call("CONFIG", "SET", "maxmemory", "1")


def empty(server: ServerProcess) -> None:
    server.call("CONFIG", "SET", "maxmemory", "0")


async def test_what_runs_there_can_be_cancelled_and_what_waits_for_its_slot_runs(
    docket: Docket, own_server: ServerProcess
) -> None:
    begun = asyncio.Event()

    async def work(
        number: int,
        progress: Progress = Progress(),
        limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1),
    ) -> int:
        begun.set()
        if number == 0:
            await asyncio.Event().wait()
        await progress.increment()
        return number

    docket.register(work)
    first = await docket.add(work)(0)
    async with Worker(docket) as worker, working(worker):
        # Cancellations are noticed when leases are renewed, too.
        worker._leases._interval = 0.3
        await asyncio.wait_for(begun.wait(), 60)
        second = await docket.add(work)(1)
        fill(own_server)

        await docket.cancel(first.key)
        assert await second.get_result(timeout=timedelta(seconds=60)) == 1
        await first.sync()
        assert first.state is ExecutionState.CANCELLED


async def test_a_worker_is_heard_of_and_says_once_that_the_server_is_full(
    docket: Docket, own_server: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "docket.worker")
    async with Worker(docket) as worker, working(worker):
        await until(lambda: _is_heard_of(docket, worker))
        fill(own_server)
        await until(lambda: _is(worker.outage != ""))
        before = datetime.now(timezone.utc)
        await until(lambda: _is_heard_of(docket, worker, before))

        empty(own_server)
        await until(lambda: _is(worker.outage == ""))
    assert caplog.text.count("Redis is full (") == 1
    assert caplog.text.count("Redis is back") == 1


async def test_an_operator_can_stop_work_there(docket: Docket, own_server: ServerProcess) -> None:
    fill(own_server)
    await docket.strike("work")
    assert list(docket.strike_list.rules) == ["task:work"]
    assert [one.record.verb for one in (await docket.insights.audit()).entries] == ["strike"]
    with pytest.raises(ServerFull):
        await docket.storage.executions.schedule(
            [NewExecution("refused", FRESH, 0, "other", b"")], patience=timedelta(seconds=0.1)
        )


async def test_a_supervisor_leads_on_and_says_that_the_server_is_full(
    docket: Docket, own_server: ServerProcess
) -> None:
    configurations = docket.storage.configurations
    assert not (await configurations.beat("owner", "one", 60_000, {})).is_full
    fill(own_server)
    beat = await configurations.beat("owner", "one", 60_000, {"processes": 1})
    assert beat.leads
    assert beat.is_full
    (told,) = await configurations.supervisors(60_000)
    assert told.about == {"processes": 1}


async def _is(found: bool) -> bool:
    return found


async def _is_heard_of(docket: Docket, worker: Worker, since: datetime | None = None) -> bool:
    living = await docket.storage.workers.living(timedelta(hours=1))
    return any(
        one.name == worker.name and (since is None or one.last_seen > since) for one in living
    )
