"""Paused queues: nothing of them is started, what runs goes on, nothing is lost."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from docket import Docket, ExecutionState, Worker
from docket.foundation.units import from_milliseconds
from docket.operations import EVERY_QUEUE, QueuePause
from docket.storage.claims import Consumer, release
from docket.storage.configurations import RevisionChange, RevisionEntry
from docket.storage.queues import read_pause
from tests.conformance.conftest import until, working
from tests.routing import route

SOON = timedelta(seconds=60)


async def one() -> str:
    return "one"


async def two() -> str:
    return "two"


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://pauses") as docket:
        await prepare(docket)
        yield docket


@pytest.fixture
async def anywhere(server_url: str) -> AsyncIterator[Docket]:
    """A docket on every kind of server."""
    async with Docket(uuid.uuid4().hex, server_url) as docket:
        await prepare(docket)
        yield docket
        await docket.storage.erase()


async def prepare(docket: Docket) -> None:
    docket.register(one)
    docket.register(two)
    await route(docket.storage, {"two": "bulk"})


def worker_of(docket: Docket) -> Worker:
    return Worker(docket, queues=("default", "bulk"))


async def test_nothing_of_a_paused_queue_is_started_until_it_is_resumed(anywhere: Docket) -> None:
    operations = anywhere.operations
    await operations.pause_queues("bulk", author="ann", reason="INC-7")
    waits = await anywhere.add(two)()
    async with worker_of(anywhere) as worker, working(worker):
        for _ in range(3):
            assert await (await anywhere.add(one)()).get_result(timeout=SOON) == "one"
        await waits.sync()
        assert waits.state is ExecutionState.QUEUED

        assert await operations.resume_queues("bulk", "default") == ["bulk"]
        assert await waits.get_result(timeout=SOON) == "two"


async def test_all_queues_are_paused_at_once(docket: Docket) -> None:
    await docket.operations.pause_queues(EVERY_QUEUE)
    waiting = [await docket.add(task)() for task in (one, two)]
    async with worker_of(docket) as worker, working(worker):
        # It claims when it is told that there is something, and finds nothing that it may start.
        bell = docket.storage.keys.bell
        await until(lambda: _is_empty(docket, bell("default")))
        await until(lambda: _is_empty(docket, bell("bulk")))
        for execution in waiting:
            await execution.sync()
        assert [one.state for one in waiting] == [ExecutionState.QUEUED] * 2
        resumed_at = from_milliseconds(await docket.storage.executions.now())

        assert await docket.operations.resume_queues(EVERY_QUEUE) == [EVERY_QUEUE]
        assert [await one.get_result(timeout=SOON) for one in waiting] == ["one", "two"]
        for execution in waiting:
            await execution.sync()
            assert execution.started_at is not None
            assert execution.started_at >= resumed_at


async def _is_empty(docket: Docket, bell: str) -> bool:
    async with docket.redis() as client:
        redis: Any = client
        return await redis.llen(bell) == 0


@pytest.mark.thorough
async def test_a_pause_ends_by_itself(docket: Docket) -> None:
    await docket.operations.pause_queues("default", lasting=timedelta(milliseconds=50))
    execution = await docket.add(one)()
    async with worker_of(docket) as worker, working(worker):
        assert await execution.get_result(timeout=SOON) == "one"

    assert await docket.storage.queues.paused() == []
    assert await docket.operations.resume_queues("default") == []
    async with docket.redis() as client:
        assert not await client.exists(docket.storage.keys.paused_queues)


async def test_what_a_dead_worker_held_is_not_started_again_in_a_paused_queue(
    docket: Docket,
) -> None:
    execution = await docket.add(one, key="k")()
    exchange = docket.storage.exchange(
        Consumer("gone", "gone:1", ("default",), 60_000, 60_000, 60_000)
    )
    _, catch = await exchange.trade([], 1)
    assert catch is not None
    assert len(catch.claimed) == 1
    await docket.operations.pause_queues("default")
    storage = docket.storage
    await release(storage.connection, storage.keys, "gone:1", ("default",), "")
    heir = storage.exchange(Consumer("heir", "heir:1", ("default",), 60_000, 60_000, 60_000))

    _, held_back = await heir.trade([], 1)
    await docket.operations.resume_queues("default")
    _, caught = await heir.trade([], 1)

    assert held_back is not None
    assert caught is not None
    assert (held_back.claimed, [one.key for one in caught.claimed]) == ([], ["k"])
    assert execution.key == "k"


async def test_what_runs_when_its_queue_is_paused_goes_on(docket: Docket) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def long() -> str:
        begun.set()
        await go_on.wait()
        return "done"

    execution = await docket.add(long)()
    async with worker_of(docket) as worker, working(worker):
        await begun.wait()
        await docket.operations.pause_queues("default")
        go_on.set()
        assert await execution.get_result(timeout=SOON) == "done"


async def test_pauses_are_listed_with_their_authors(docket: Docket) -> None:
    await docket.operations.pause_queues("bulk", author="ann", reason="INC-7", lasting=SOON)
    await docket.operations.pause_queues(EVERY_QUEUE, "default")
    every, bulk, default = await docket.storage.queues.paused()

    assert (bulk.queue, bulk.by, bulk.reason) == ("bulk", "ann", "INC-7")
    assert bulk.since is not None
    assert bulk.until == bulk.since + SOON
    assert (every.queue, default.queue, default.until) == (EVERY_QUEUE, "default", None)


async def test_a_file_pauses_a_queue_until_it_no_longer_does_whatever_is_done_by_hand(
    docket: Docket,
) -> None:
    operations, queues = docket.operations, docket.storage.queues
    configurations = docket.storage.configurations
    entry = RevisionEntry("digest", "", None, "here", "applied")

    async def commit(owner: str, base: int, *paused: str) -> None:
        change = RevisionChange(routes={"two": "bulk"}, paused=paused)
        done = await configurations.commit(owner, base, entry, 20, change)
        assert done == (True, base + 1, done.version)

    async def pauses() -> list[tuple[str, str, str, int | None]]:
        return [(one.queue, one.by, one.file, one.revision) for one in await queues.paused()]

    await commit("shop", 0, "bulk", "default")
    await commit("shop", 1, "bulk", EVERY_QUEUE)
    await commit("other", 0, "bulk")
    await operations.pause_queues("bulk", author="ann")
    shop, others = ("shop", 1), ("other", 1)
    by_hand = ("bulk", "ann", "", None)
    assert await pauses() == [
        ("*", "", "shop", 2),
        by_hand,
        ("bulk", "", *others),
        ("bulk", "", *shop),
    ]
    (since,) = {
        one.since for one in await queues.paused() if one.file == "shop" and one.revision == 1
    }
    assert since is not None

    waits = await docket.add(two, priority="high")()
    assert (await queues.waits(["bulk/high", "default"]))["bulk/high"].is_paused
    await commit("shop", 2, "bulk")
    assert not (await queues.waits(["default"]))["default"].is_paused
    async with Worker(docket, queues=("default", "bulk/high")) as worker, working(worker):
        assert await operations.resume_queues("bulk") == ["bulk"]
        await commit("shop", 3)
        assert await (await docket.add(one)()).get_result(timeout=SOON) == "one"
        await waits.sync()
        assert waits.state is ExecutionState.QUEUED
        assert await pauses() == [("bulk", "", *others)]
        assert await operations.resume_queues("bulk") == []

        await commit("other", 1)
        assert await waits.get_result(timeout=SOON) == "two"
    async with docket.redis() as client:
        assert not await client.exists(docket.storage.keys.paused_queues)


async def test_a_damaged_pause_of_a_file_is_a_pause_until_a_file_no_longer_says_so(
    docket: Docket,
) -> None:
    texts = ["nonsense", "[]", '{"other": 1}', '{"shop": {"since": "x", "revision": "y"}}']
    async with docket.redis() as client:
        for number, text in enumerate(texts):
            await client.hset(docket.storage.keys.paused_queues, f"file\n{number}", text)
    queues = docket.storage.queues
    assert [(one.queue, one.file) for one in await queues.paused()] == [
        *(("0", "?"), ("1", "?"), ("2", "other"), ("3", "shop"))
    ]
    assert all(one.is_paused for one in (await queues.waits(["0", "1", "2", "3"])).values())

    entry = RevisionEntry("digest", "", None, "here", "applied")
    await docket.storage.configurations.commit("shop", 0, entry, 20, RevisionChange(paused=["0"]))
    assert [(one.queue, one.file) for one in await queues.paused()] == [
        *(("0", "shop"), ("2", "other"))
    ]


@pytest.mark.parametrize("text", [b"nonsense", b"[]", b'{"since": "x", "until": []}', b"\xff"])
def test_a_damaged_pause_is_a_pause(text: bytes) -> None:
    assert read_pause("q", text) == QueuePause("q")
