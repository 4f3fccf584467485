"""What the machines of this package have found once, each as short as it can be told."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Literal

import pytest

from docket import ConcurrencyLimit, Docket, ExecutionState, Worker
from docket.storage.claims import Claimed, Claims, Consumer, Settlement, Verdict, release
from docket.storage.executions import NewExecution
from docket.storage.limits import Entrant, Question, Word

from .model import FAR

QUEUES = ("default", "fast")


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(f"found-{uuid.uuid4().hex[:12]}", "memory://properties") as docket:
        yield docket


def claimant(name: str, lease: int = 30_000) -> Consumer:
    return Consumer(name, name, QUEUES, lease, 60_000, 60_000)


def exchange(docket: Docket, name: str) -> Claims:
    return docket.storage.exchange(claimant(name))


def new(key: str, queue: str = "", due: int = 0) -> NewExecution:
    return NewExecution(key, f"nonce of {key}", due, "task", b"call", queue)


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
    call = docket.dump_call("task", "key", ("name",), {})
    keys = docket.storage.keys
    await docket.storage.connection.send(
        *(("HSET", keys.run(key), "call", call) for key in ("a", "b"))
    )
    async with Worker(docket, queues=QUEUES, redelivery_timeout=timedelta(seconds=2)) as worker:
        running = asyncio.create_task(worker.run_until_finished())
        await asyncio.wait_for(both.wait(), 60)

        assert worker.in_flight == 2

        end.set()
        await asyncio.wait_for(running, 60)


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


def settlement(run: Claimed, word: str, **fields: Any) -> Settlement:
    """What a run ends with."""
    given = (run.message, run.queue, run.key, run.generation, run.fence)
    return Settlement(*given, word, ttl=60_000, **fields)


async def claimed_by(worker: Claims) -> list[Claimed]:
    """What a worker with ten free slots is given."""
    _, catch = await worker.trade([], 10)
    assert catch is not None
    return catch.claimed


async def kept(docket: Docket, name: str) -> bool:
    """Whether there is such a key."""
    (count,) = await docket.storage.connection.send(("EXISTS", docket.key(name)))
    return count == 1


async def time_to_live(docket: Docket, name: str) -> int:
    """In ms; -1 is for ever."""
    (ttl,) = await docket.storage.connection.send(("PTTL", docket.key(name)))
    return ttl


async def forget(docket: Docket, key: str) -> None:
    """What the end of its time to live does to a record."""
    assert await time_to_live(docket, f"runs:{key}") > 0
    await docket.storage.connection.send(("DEL", docket.storage.keys.run(key)))


async def test_progress_of_a_record_that_has_expired_is_not_kept_for_ever(docket: Docket) -> None:
    record = await docket.storage.progress.change("long gone", "increment", 1)

    assert record.current == 1
    assert await time_to_live(docket, "progress:long gone") > 0


async def test_progress_expires_with_a_task_that_is_cancelled_between_two_attempts(
    docket: Docket,
) -> None:
    await docket.storage.executions.schedule([new("a")])
    worker = exchange(docket, "worker")
    (run,) = await claimed_by(worker)
    await docket.storage.progress.change("a", "increment", 1)
    await worker.trade([settlement(run, "again", due=FAR)], 0)

    assert await time_to_live(docket, "progress:a") == -1
    await docket.cancel("a")

    assert await time_to_live(docket, "progress:a") > 0


async def test_a_run_that_shall_be_cancelled_is_not_parked(docket: Docket) -> None:
    await docket.storage.executions.schedule([new("a")])
    worker = exchange(docket, "worker")
    (run,) = await claimed_by(worker)
    await docket.cancel("a")

    await worker.trade([settlement(run, "parked", reason="unknown_task")], 0)

    (record,) = await docket.storage.executions.read("a")
    assert record is not None
    assert record.state is ExecutionState.CANCELLED
    assert not await kept(docket, "parked")


async def test_a_zombie_takes_no_slot_for_a_run_that_was_settled(
    docket: Docket,
) -> None:
    await docket.storage.executions.schedule([new("a")])
    worker = exchange(docket, "worker")
    (run,) = await claimed_by(worker)
    await worker.trade([settlement(run, "completed")], 0)

    asks = Entrant(run.key, run.identity, run.attempt, run.fence, "worker")
    answer = await docket.storage.limits.admit(asks, [Question("slot", "limit", 1)])
    assert answer.word is Word.SUPERSEDED

    assert not await kept(docket, "slots:limit")
    assert not await kept(docket, "holding")


async def test_a_message_of_a_forgotten_key_is_not_taken_for_that_of_its_successor(
    docket: Docket,
) -> None:
    # The first run is superseded, the record of its successor expires, and the key is used again:
    # its generations begin anew, so that the first message has the number of the third execution.
    executions = docket.storage.executions
    zombie, worker = exchange(docket, "zombie"), exchange(docket, "worker")
    await executions.schedule([new("a")])
    (first,) = await claimed_by(zombie)
    await executions.schedule([new("a")._replace(nonce="second")], mode="replace")
    (second,) = await claimed_by(worker)
    await worker.trade([settlement(second, "completed")], 0)
    await forget(docket, "a")
    await executions.schedule([new("a")._replace(nonce="third")])
    (third,) = await claimed_by(worker)
    assert third.generation == first.generation

    await release(docket.storage.connection, docket.storage.keys, "zombie", QUEUES)
    assert await claimed_by(exchange(docket, "heir")) == []

    assert await zombie.trade([settlement(first, "failed")], 0) == ([Verdict.SUPERSEDED], None)
    assert await worker.trade([settlement(third, "completed")], 0) == ([Verdict.RECORDED], None)


@pytest.mark.parametrize("action", ["", "park"])
async def test_a_dead_letter_that_was_forgotten_and_is_added_again_is_none(
    docket: Docket, action: Literal["", "park"]
) -> None:
    await docket.storage.executions.schedule([new("a")])
    worker = exchange(docket, "worker")
    (run,) = await claimed_by(worker)
    await worker.trade([settlement(run, "failed")], 0)
    assert await kept(docket, "dead")
    await forget(docket, "a")
    if action:
        await docket.strike("task", action=action)

    await docket.storage.executions.schedule([new("a")])

    assert not await kept(docket, "dead")


async def test_the_bell_rings_for_what_stands_behind_a_message_that_was_read_in_vain(
    docket: Docket,
) -> None:
    executions = docket.storage.executions
    await executions.schedule([new("a"), new("b")])
    assert await executions.begin("a", 0, "by hand")
    await docket.storage.connection.send(("DEL", docket.storage.keys.bell()))

    _, catch = await exchange(docket, "worker").trade([], 1)

    assert catch is not None
    assert catch.claimed == []
    assert await kept(docket, "bell")


async def test_what_is_begun_by_hand_before_its_time_is_queued_first(docket: Docket) -> None:
    await docket.storage.executions.schedule([new("a", due=FAR)])
    heard: list[str] = []
    async with docket.storage.connection.subscriber() as line:
        await line.subscribe(docket.storage.keys.state("a"))
        await line.get_message(timeout=10)

        await docket.storage.executions.begin("a", 0, "by hand")

        for _ in range(2):
            event: Any = await line.get_message(timeout=10)
            heard.append(event["data"].decode().partition("\n")[0])
    assert heard == ["queued", "running"]


async def test_a_lost_claim_brings_nothing_back_that_somebody_has_begun_by_hand(
    docket: Docket,
) -> None:
    await docket.storage.executions.schedule([new("a")])
    assert await docket.storage.executions.begin("a", 0, "by hand")
    worker = exchange(docket, "worker")
    assert await claimed_by(worker) == []

    _, catch = await worker.trade([], 10, holding=[b"-"])

    assert catch is not None
    assert catch.claimed == []
    assert await docket.storage.workers.retire("worker", "worker", QUEUES) == 0
    # It waits for the end of the lease of whoever has begun it.
    await release(docket.storage.connection, docket.storage.keys, "by hand", QUEUES)
    assert [run.key for run in await claimed_by(exchange(docket, "heir"))] == ["a"]


@asynccontextmanager
async def slot_held(docket: Docket, key: str) -> AsyncGenerator[asyncio.Event]:
    """The only slot of ``task`` is held by the run of a key, until the event is set."""
    started, end = asyncio.Event(), asyncio.Event()

    async def task(
        is_first: bool, limit: ConcurrencyLimit = ConcurrencyLimit(max_concurrent=1)
    ) -> None:
        if is_first:
            started.set()
            await end.wait()

    docket.register(task)
    await docket.add("task", key=key)(True)
    async with Worker(docket) as worker:
        running = asyncio.create_task(worker.run_forever())
        await asyncio.wait_for(started.wait(), 60)
        yield end
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_run_whose_record_was_overwritten_keeps_no_slot_from_others(docket: Docket) -> None:
    async with slot_held(docket, "wreck") as end:
        neighbour = await docket.add("task", key="neighbour")(False)
        await docket.storage.connection.send(("SET", docket.storage.keys.run("wreck"), "other"))

        end.set()

        await asyncio.wait_for(neighbour.get_result(), 60)
    assert not await kept(docket, "holding")


async def test_a_message_whose_record_was_overwritten_gives_its_slot_back_when_it_is_claimed(
    docket: Docket,
) -> None:
    await docket.storage.executions.schedule([new("a")])
    (run,) = await claimed_by(exchange(docket, "worker"))
    owner = f"{run.identity}\na"
    send = docket.storage.connection.send
    await send(("ZADD", docket.key("slots:limit"), 1, owner))
    await send(("HSET", docket.key("holding"), owner, '{"slots":["limit"]}'))
    await send(("SET", docket.storage.keys.run("a"), "other"))
    await release(docket.storage.connection, docket.storage.keys, "worker", QUEUES)

    assert await claimed_by(exchange(docket, "heir")) == []

    assert not await kept(docket, "holding")
    assert not await kept(docket, "slots:limit")


@pytest.mark.parametrize("then", ["something else", "gone"])
async def test_a_run_that_waited_and_whose_record_is_lost_is_not_kept_as_waiting(
    docket: Docket, then: Literal["something else", "gone"]
) -> None:
    async with slot_held(docket, "holder") as end:
        await docket.add("task", key="wreck")(False)
        while not await kept(docket, "waiting"):
            await asyncio.sleep(0.01)
        run = docket.storage.keys.run("wreck")
        await docket.storage.connection.send(
            ("SET", run, "other") if then == "something else" else ("DEL", run)
        )
        neighbour = await docket.add("task", key="neighbour")(False)

        end.set()

        await asyncio.wait_for(neighbour.get_result(), 60)
    assert not await kept(docket, "waiting")
