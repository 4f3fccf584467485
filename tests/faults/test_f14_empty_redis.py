"""F14: Redis is empty, after FLUSHALL under load or after a restart without its data.

Consumer groups are made again, work is taken up within 5 s, workers are known again by their tasks, and have
their automatic ones scheduled again; a supervisor puts its configuration, its schedules and its strikes in
force again, once. About 12 s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from docket import Docket, Perpetual, Worker
from docket.errors import DocketError
from tests.conformance.conftest import working
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess
from tests.promises import promised
from tests.supervisor.inside import TEXT, Home, Log, up

from .conftest import Start
from .ledger import Audit, Ledger, nothing_is_left_behind
from .producing import produce, until_ended
from .workers import KNOWN, until

pytestmark = pytest.mark.fault

LIVE = 5.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that keeps nothing over a restart."""
    with ServerProcess(
        valkey_9(), tmp_path / "server", "--save", "", "--appendonly", "no"
    ) as server:
        yield server


@pytest.fixture
def url(server: ServerProcess) -> str:
    return server.url


async def empty(server: ServerProcess, how: str) -> None:
    """Take all its data."""
    if how == "restart":
        await asyncio.to_thread(server.restart)
    else:
        server.call("FLUSHALL")


@pytest.mark.parametrize("how", ["flush", "restart"])
async def test_workers_go_on_at_an_empty_server_and_lose_only_what_it_has_lost(
    docket: Docket, url: str, ledger: Ledger, server: ServerProcess, start: Start, how: str
) -> None:
    workers = [await start(concurrency=5, lease=1.0).until_up() for _ in range(2)]
    (work, *_) = await produce(docket, ledger, [0.05] * 100)
    assert work
    await asyncio.sleep(0.3)
    await empty(server, how)
    begun = time.monotonic()

    keys = await produce(docket, Ledger(ledger.path.with_suffix(".after")), [0.0] * 50)
    await until_ended(docket, keys)

    assert time.monotonic() - begun <= promised(LIVE)
    audit = await Audit.of(docket, ledger)
    audit.outcomes_are_single()
    assert all(worker.is_alive for worker in workers)
    assert {
        state and state.state.value for state in await docket.storage.executions.read(*keys)
    } == {"completed"}
    nothing_is_left_behind(url, docket.name)

    known = [*docket.tasks, *KNOWN, "kill"]
    while [info.tasks for info in await docket.workers()] != [set(known)] * 2:
        assert time.monotonic() - begun <= promised(3 * LIVE), "the workers are not known again"
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["flush", "restart"])
async def test_automatic_tasks_are_scheduled_again_by_a_worker_without_a_supervisor(
    url: str, name: str, server: ServerProcess, how: str
) -> None:
    hourly = Perpetual(timedelta(hours=1), automatic=True)

    async def poll(perpetual: Perpetual = hourly) -> None: ...

    async with Docket(name, url, heartbeat_interval=timedelta(seconds=0.2)) as docket:
        docket.register(poll)

        async def until_scheduled() -> None:
            begun = time.monotonic()
            while [run.key for run in (await docket.snapshot()).future] != ["poll"]:
                assert time.monotonic() - begun <= promised(3 * LIVE), "it is not scheduled"
                await asyncio.sleep(0.02)

        async with Worker(docket) as worker, working(worker):
            await until_scheduled()
            await empty(server, how)
            await until_scheduled()


@pytest.mark.parametrize("how", ["flush", "restart"])
async def test_a_supervisor_puts_everything_in_force_again_once(
    home: Home, log: Log, server: ServerProcess, how: str
) -> None:
    home.save(
        TEXT.replace('name = "inside"', f'name = "inside"\nurl = "{server.url}"')
        + '[schedules.often]\ntask = "note"\nargs = [1]\nevery = "100ms"\n'
        '[[strikes]]\nid = "s"\ntask = "note"\nwhen = { number = { op = "==", value = 9 } }\n'
    )
    async with up(home), Docket("inside", server.url) as docket:
        storage = docket.storage
        await log.until("queued often@")
        await empty(server, how)
        begun = time.monotonic()
        await log.until("Redis has lost the configuration: it is committed again")
        await log.until("queued often@")

        assert time.monotonic() - begun <= promised(LIVE)
        current = await storage.configurations.current("inside")
        assert current is not None
        assert (current.number, current.entry.why) == (1, "restored")
        await docket.strike_list.refresh()
        assert [rule.source for rule in docket.strike_list.rules.values()] == ["file:inside/s"]
        (known,) = await storage.schedules.known()
        assert known.name == "often"
        assert len(await storage.configurations.history("inside")) == 1
        assert "it is committed again" not in log


async def test_an_add_while_the_data_goes_is_there_or_has_raised(
    docket: Docket, server: ServerProcess, ledger: Ledger, start: Start
) -> None:
    start(concurrency=5, lease=1.0)
    acknowledged: list[str] = []
    stop = asyncio.Event()

    async def keep_adding() -> None:
        while not stop.is_set():
            try:
                acknowledged.extend(await produce(docket, ledger, [0.0]))
            except DocketError:
                await asyncio.sleep(0.01)

    adding = asyncio.create_task(keep_adding())
    await asyncio.sleep(0.3)
    await empty(server, "flush")
    before = len(acknowledged)
    await until(lambda: len(acknowledged) > before + 1, "adds to the empty server")
    stop.set()
    await adding

    # One may have been on its way when the data went.
    assert len(acknowledged) > before + 1
    await until_ended(docket, acknowledged[before + 1 :])
