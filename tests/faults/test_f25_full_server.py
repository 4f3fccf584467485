"""F25, F26: the server takes no writes: it cannot save to its disk (MISCONF), or its memory is full.

A call that cannot be stored raises a typed error by its deadline. What runs meanwhile is settled when the
server takes writes again, and its body does not run a second time. About 6 s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from docket import Docket
from docket.errors import ServerUnavailable
from docket.storage.executions import NewExecution
from docket.storage.scripting.nonces import FRESH
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess
from tests.fleet.process import until as wait

from .conftest import Start
from .ledger import Audit, Ledger, nothing_is_left_behind
from .producing import produce, until_ended
from .workers import until

pytestmark = pytest.mark.fault


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(valkey_9(), tmp_path / "server") as server:
        yield server


@pytest.fixture
def url(server: ServerProcess) -> str:
    return server.url


def refuse_writes(server: ServerProcess, how: str) -> None:
    """Have the server refuse whatever writes."""
    if how == "memory":
        server.call("CONFIG", "SET", "maxmemory", "1")
        return
    # A directory in the place of its file: saving fails.
    (server.directory / "dump.rdb").mkdir()
    server.call("CONFIG", "SET", "save", "3600 1000000")
    server.call("BGSAVE")
    wait(lambda: _last_save(server) == "err", "a save that fails")


def take_writes(server: ServerProcess, how: str) -> None:
    """Mend it."""
    if how == "memory":
        server.call("CONFIG", "SET", "maxmemory", "0")
        return
    (server.directory / "dump.rdb").rmdir()
    server.call("BGSAVE")
    wait(lambda: _last_save(server) == "ok", "a save")


async def add_at_last(docket: Docket, ledger: Ledger) -> list[str]:
    """Add three, again if they have not been taken by the deadline of a call."""
    while True:
        with contextlib.suppress(ServerUnavailable):
            return await produce(docket, ledger, [0.0] * 3)


def _last_save(server: ServerProcess) -> str:
    return server.call("INFO", "persistence")["rdb_last_bgsave_status"]


async def test_at_a_full_server_work_goes_on_and_keeps_its_leases_while_adds_wait(
    docket: Docket, url: str, ledger: Ledger, server: ServerProcess, start: Start
) -> None:
    workers = [await start(concurrency=5, lease=2.0).until_up() for _ in range(2)]
    keys = await produce(docket, ledger, [2.5] * 12)
    await until(lambda: sum(len(one.events("start")) for one in workers) >= 10, "ten in flight")
    await asyncio.to_thread(refuse_writes, server, "memory")

    adding = asyncio.create_task(add_at_last(docket, ledger))
    await until_ended(docket, keys)
    assert not adding.done()
    await asyncio.to_thread(take_writes, server, "memory")
    keys += await adding
    await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    assert audit.extra_starts() == 0
    nothing_is_left_behind(url, docket.name)


async def test_a_server_that_takes_no_writes_is_told_and_what_ran_is_settled_when_it_does_again(
    docket: Docket, url: str, ledger: Ledger, server: ServerProcess, start: Start
) -> None:
    how = "disk"
    worker = await start(concurrency=5, lease=30.0).until_up()
    keys = await produce(docket, ledger, [0.5] * 20)
    await until(lambda: len(worker.events("start")) >= 5, "five in flight")
    await asyncio.to_thread(refuse_writes, server, how)

    new = NewExecution("refused", FRESH, 0, "work", b"")
    with pytest.raises(ServerUnavailable):
        await docket.storage.executions.schedule([new], patience=timedelta(seconds=0.2))
    adding = asyncio.create_task(add_at_last(docket, ledger))
    await until(lambda: len(worker.events("end")) >= 5, "the end of what ran")
    await until(lambda: bool(worker.events("trouble")), "the trouble of the worker")
    await asyncio.to_thread(take_writes, server, how)
    keys += await adding
    await until_ended(docket, keys)

    audit = await Audit.of(docket, ledger)
    audit.everything_ended()
    audit.outcomes_are_single()
    assert audit.extra_starts() == 0
    assert worker.is_alive
    nothing_is_left_behind(url, docket.name)
