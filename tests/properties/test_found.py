"""What the machines of this package have found once, each as short as it can be told."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from docket import Docket, Worker
from docket.storage.exchange import Claimant, Exchange
from docket.storage.executions import NewExecution

QUEUES = ("default", "fast")


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(f"found-{uuid.uuid4().hex[:12]}", "memory://properties") as docket:
        yield docket


def claimant(name: str, lease: int = 30_000) -> Claimant:
    return Claimant(name, name, QUEUES, lease, 60_000, 60_000)


def exchange(docket: Docket, name: str) -> Exchange:
    return docket.storage.exchange(claimant(name))


def new(key: str, queue: str = "", due: int = 0) -> NewExecution:
    return NewExecution(key, f"nonce of {key}".encode(), due, "task", b"call", queue)


async def number_alike(docket: Docket) -> None:
    """One execution on each of two queues, whose messages have the same number."""
    keys = docket.storage.keys
    await docket.storage.executions.schedule([new("a"), new("b", "fast")])
    for key, queue in (("a", "default"), ("b", "fast")):
        stream = keys.stream(queue)
        await docket.storage.connection.send(
            ("DEL", stream),
            ("XADD", stream, "99999999999999-0", "key", key, "generation", "1"),
            ("HSET", keys.run(key), "message", "99999999999999-0"),
        )


async def test_two_queues_that_number_their_messages_alike_are_two_runs(docket: Docket) -> None:
    started: list[str] = []
    both = asyncio.Event()
    end = asyncio.Event()

    async def task(name: str) -> None:
        started.append(name)
        if len(started) == 2:
            both.set()
        await end.wait()

    docket.register(task)
    await number_alike(docket)
    call = docket.dump_call("task", ("name",), {})
    keys = docket.storage.keys
    await docket.storage.connection.send(
        *(("HSET", keys.run(key), "call", call) for key in ("a", "b"))
    )
    async with Worker(docket, queues=QUEUES, redelivery_timeout=timedelta(seconds=2)) as worker:
        running = asyncio.create_task(worker.run_until_finished())
        await asyncio.wait_for(both.wait(), 10)

        assert worker.in_flight == 2

        end.set()
        await asyncio.wait_for(running, 10)


async def test_a_lost_claim_is_recovered_though_another_queue_numbers_its_messages_alike(
    docket: Docket,
) -> None:
    await number_alike(docket)
    worker = exchange(docket, "worker")
    _, catch = await worker.trade([], 10)
    assert catch is not None
    held, lost = catch.claimed

    _, catch = await worker.trade([], 10, holding=[b"-", held.holder])

    assert catch is not None
    assert [run.key for run in catch.claimed] == [lost.key]
