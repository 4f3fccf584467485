"""F13: Redis goes back to an older state of its own, while workers hold runs of the newer one.

What the older state does not know runs again, or is gone: that is Redis's durability. But nobody may be told
a falsehood by it: a run of the lost history does not become the outcome of one of the new history, and its
worker is not told that its outcome stands.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from docket import Docket, ExecutionState
from docket.storage.claims import Claimed, ClaimReply, Claims, Consumer, Settlement, Verdict
from tests.fleet.binaries import valkey_9
from tests.fleet.process import ServerProcess

pytestmark = pytest.mark.fault

LEASE = 60_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    durable = ("--appendonly", "yes", "--appendfsync", "always")
    with ServerProcess(valkey_9(), tmp_path / "server", *durable) as server:
        yield server


def go_back(server: ServerProcess, to: Path) -> None:
    """Have the server start again with the files of an earlier moment."""
    server.kill()
    shutil.rmtree(server.directory / "appendonlydir")
    shutil.copytree(to, server.directory / "appendonlydir")
    server.start()


def copy(server: ServerProcess, to: Path) -> Path:
    """The files of this moment; every write is synced."""
    shutil.copytree(server.directory / "appendonlydir", to)
    return to


async def test_a_run_of_a_lost_history_is_refused_and_its_heir_is_believed(
    server: ServerProcess, name: str, tmp_path: Path
) -> None:
    async with Docket(name, server.url) as docket:
        docket.register(work)
        await docket.add(work, key="a")()
        earlier = copy(server, tmp_path / "earlier")
        lost = exchange(docket, "lost")
        (zombie,) = await claimed(lost)

        await asyncio.to_thread(go_back, server, earlier)

        heir = exchange(docket, "heir")
        (run,) = await claimed(heir)
        assert (zombie.key, zombie.generation) == (run.key, run.generation)
        assert (zombie.fence, "lost") != (run.fence, "heir")
        assert await verdict(lost, zombie, "failed") not in (Verdict.RECORDED, Verdict.ALREADY)
        assert await verdict(heir, run, "completed") is Verdict.RECORDED
        assert await verdict(lost, zombie, "failed") not in (Verdict.RECORDED, Verdict.ALREADY)
        assert await verdict(heir, run, "completed") is Verdict.ALREADY
        (record,) = await docket.storage.executions.read("a")
        assert record is not None
        assert record.state is ExecutionState.COMPLETED


async def test_fences_of_a_new_history_are_above_those_of_the_lost_one(
    server: ServerProcess, name: str, tmp_path: Path
) -> None:
    async with Docket(name, server.url) as docket:
        docket.register(work)
        calls = [docket.call(work, key=f"k{number}")() for number in range(50)]
        await docket.add_many(calls)
        earlier = copy(server, tmp_path / "earlier")
        before = [run.fence for run in await claimed(exchange(docket, "lost"), 50)]

        await asyncio.to_thread(go_back, server, earlier)

        after = [run.fence for run in await claimed(exchange(docket, "heir"), 50)]
        assert len(before) == len(after) == 50
        assert max(before) < min(after)


async def test_what_was_added_in_the_lost_history_is_gone_and_may_be_added_again(
    server: ServerProcess, name: str, tmp_path: Path
) -> None:
    async with Docket(name, server.url) as docket:
        docket.register(work)
        earlier = copy(server, tmp_path / "earlier")
        await docket.add(work, key="a")()

        await asyncio.to_thread(go_back, server, earlier)

        assert await docket.get_execution("a") is None
        await docket.add(work, key="a")()
        (run,) = await claimed(exchange(docket, "heir"))
        assert run.key == "a"


async def test_a_strike_of_the_lost_history_is_forgotten_by_clients_that_had_read_it(
    server: ServerProcess, name: str, tmp_path: Path
) -> None:
    async with Docket(name, server.url) as docket, Docket(name, server.url) as other:
        for one in (docket, other):
            one.register(work)
        earlier = copy(server, tmp_path / "earlier")
        await docket.strike("work", reason="lost")
        await other.strike_list.refresh()
        assert "work" in str(other.strike_list.rules)

        await asyncio.to_thread(go_back, server, earlier)
        # As many changes as before: a version that counts would be the same number again.
        await docket.strike("nothing", reason="new")

        await other.strike_list.refresh()
        assert [rule.reason for rule in other.strike_list.rules.values()] == ["new"]


async def work() -> None: ...


def exchange(docket: Docket, worker: str) -> Claims:
    """The round trip of a worker with a lease that is not over before the test is."""
    claimant = Consumer(worker, f"{worker}:1", ("default",), LEASE, LEASE, LEASE)
    return docket.storage.exchange(claimant)


async def claimed(worker: Claims, slots: int = 10) -> list[Claimed]:
    """What a worker is given by one claim."""
    for _ in range(50):
        try:
            _, catch = await worker.trade([], slots)
        except ConnectionError:
            await asyncio.sleep(0.05)
        else:
            assert isinstance(catch, ClaimReply)
            return catch.claimed
    raise AssertionError("the server does not come back")


async def verdict(worker: Claims, run: Claimed, word: str) -> Verdict:
    """What a run is told whose end is recorded."""
    ttl = timedelta(minutes=1) // timedelta(milliseconds=1)
    given = (run.message, run.queue, run.key, run.generation, run.fence)
    (said,), _ = await worker.trade([Settlement(*given, word, ttl=ttl)], 0)
    return said
