"""Every relation between a record and what refers to it is compared, and repaired where it is broken."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from docket import ConcurrencyLimit, Docket, ExponentialRetry, Worker
from docket.connection.base import Command
from docket.operations.mismatches import KINDS
from docket.storage.claims import Claimed, Consumer, Settlement, release
from docket.storage.limits import Entrant, Question
from docket.storage.scripting.retrying import value_of
from tests.conformance.conftest import working
from tests.fleet.kinds import Fleet
from tests.storage.slices import longest

FAR = 9_000_000_000_000
"""A moment in the far future, in ms."""

Words = Callable[["Ward"], Awaitable[list[Command]]]


async def job() -> None: ...


async def kept() -> None: ...


class Ward:
    """A docket in which something is in every place that a check looks at."""

    def __init__(self, docket: Docket) -> None:
        self.docket = docket

    async def send(self, *words: Any) -> Any:
        """Send a command whose second word is a key without the prefix."""
        word, key, *rest = words
        keys = self.docket.storage.keys
        (reply,) = await self.docket.storage.connection.send((word, keys.named(key), *rest))
        return value_of(reply)

    async def message_of(self, key: str) -> str:
        return (await self.send("HGET", f"runs:{key}", "message")).decode()

    async def owner_of(self, key: str) -> str:
        nonce = await self.send("HGET", f"runs:{key}", "nonce")
        return f"{nonce.decode()}\n{key}"

    async def claim(self, consumer: str, *keys: str) -> list[Claimed]:
        """Have a worker hold these."""
        for key in keys:
            await self.docket.add(job, key=key)()
        claimant = Consumer(consumer, f"{consumer}:1", ("default",), 30_000, 60_000, 60_000)
        exchange = self.docket.storage.exchange(claimant)
        _, catch = await exchange.trade([], len(keys))
        assert catch is not None
        assert [one.key for one in catch.claimed] == [*keys]
        return catch.claimed

    async def settle(self, consumer: str, run: Claimed, word: str, **fields: Any) -> None:
        claimant = Consumer(consumer, f"{consumer}:1", ("default",), 30_000, 60_000, 60_000)
        given = (run.message, run.queue, run.key, run.generation, run.fence, word)
        settlement = Settlement(*given, ttl=60_000, identity=run.identity, **fields)
        await self.docket.storage.exchange(claimant).trade([settlement], 0)

    async def enter(self, consumer: str, run: Claimed, limit: str) -> None:
        """Have a run ask for the one slot of a limit."""
        entrant = Entrant(run.key, run.identity, 1, run.fence, f"{consumer}:1")
        await self.docket.storage.limits.admit(entrant, [Question("slot", limit, 1)])

    async def fill(self) -> None:
        docket, storage = self.docket, self.docket.storage
        await self.claim("dying", "suspect")
        holder, waiter, replaced, ended, dead = await self.claim(
            "w", "holder", "waiter", "replaced", "ended", "dead"
        )
        await self.enter("w", holder, "lim")
        await self.enter("w", waiter, "lim")
        await self.settle("w", waiter, "waiting", reason="lim", due=1)
        await self.enter("w", replaced, "other")
        later = datetime.now(timezone.utc) + timedelta(hours=1)
        await docket.replace(job, later, "replaced")()
        await self.settle("w", ended, "completed", result=b"value")
        await self.settle("w", dead, "failed")
        await self.claim("gone", "lost")
        await docket.add(job, later, key="future")()
        await docket.strike(kept, action="park")
        await docket.add(kept, key="kept")()
        await docket.add(job, key="queued")()
        await docket.add(job, later, key="brief", expires=timedelta(hours=1))()
        await self._have_turns(later)
        await release(storage.connection, storage.keys, "dying:1", ["default"], "SIGKILL")

    async def _have_turns(self, later: datetime) -> None:
        """Have a run of a schedule, and another one that waits for its turn."""
        await self.docket.add(job, later, key="first")()
        await self.docket.add(job, later, key="second")()
        await self.send("HSET", "schedule:o/s", "overlap", "queue_all", "key", "first")
        await self.send("HSET", "runs:first", "schedule", "o/s")
        await self.send("ZREM", "queue", "second")
        await self.send("HSET", "runs:second", "schedule", "o/s", "waits", "schedule o/s")
        await self.send("ZADD", "waiters:schedule o/s", 1, "second")
        await self.send("ZADD", "waiting", 1, "second")
        await self.send("ZADD", "pending:o/s", 1, "first", 1, "second")


def words(*commands: Sequence[Any]) -> Words:
    async def found(ward: Ward) -> list[Command]:
        return [tuple(command) for command in commands]

    return found


async def without_message(ward: Ward) -> list[Command]:
    return [("XDEL", "stream", await ward.message_of("queued"))]


async def without_what_is_held(ward: Ward) -> list[Command]:
    return [("XDEL", "stream", await ward.message_of("holder"))]


async def without_worker(ward: Ward) -> list[Command]:
    message = await ward.message_of("lost")
    return [
        ("XACK", "stream", "docket-workers", message),
        ("XDEL", "stream", message),
        ("ZREM", "leases", "gone:1"),
    ]


async def without_its_list(ward: Ward) -> list[Command]:
    return [("HDEL", "holding", await ward.owner_of("holder"))]


async def without_its_slot(ward: Ward) -> list[Command]:
    return [("ZREM", "slots:lim", await ward.owner_of("holder"))]


async def without_the_list_of_its_worker(ward: Ward) -> list[Command]:
    (orphan,) = await ward.send("SMEMBERS", "orphans:w:1")
    return [("SREM", "orphans:w:1", orphan)]


BREAKS: dict[str, tuple[Words, set[str]]] = {
    "record-unreadable": (words(("HSET", "runs:odd", "x", "y"), ("SET", "runs:text", "x")), set()),
    "record-expires": (words(("PEXPIRE", "runs:queued", 60_000)), set()),
    "record-stays": (words(("PERSIST", "runs:ended")), set()),
    "future-missing": (words(("ZREM", "queue", "future")), set()),
    "future-wrong": (words(("ZADD", "queue", FAR, "future")), set()),
    "future-stale": (words(("ZADD", "queue", FAR, "queued", FAR, "nobody", FAR, "waiter")), set()),
    "expiring-missing": (words(("DEL", "expiring")), set()),
    "expiring-stale": (words(("ZADD", "expiring", FAR, "queued", FAR, "nobody")), set()),
    "message-missing": (without_message, set()),
    "message-stale": (
        words(
            ("XADD", "stream", "*", "key", "nobody", "generation", "1"),
            ("XADD", "stream", "*", "key", "queued", "generation", "7"),
            ("XADD", "stream", "*", "of", "others"),
            ("XADD", "stream:bulk", "*", "key", "queued", "generation", "1"),
        ),
        {"queue-unlisted"},
    ),
    "pending-stale": (without_what_is_held, set()),
    "queue-unlisted": (words(("SREM", "queues", "")), set()),
    "run-lost": (without_worker, set()),
    "suspect-missing": (words(("ZREM", "suspects", "suspect")), set()),
    "suspect-stale": (
        words(("ZADD", "suspects", 1, "future"), ("HDEL", "runs:suspect", "suspect", "reason")),
        set(),
    ),
    "parked-missing": (words(("ZREM", "parked", "kept"), ("DEL", "parked-groups")), set()),
    "parked-stale": (words(("ZADD", "parked", 1, "queued")), set()),
    "grouped-stale": (words(("ZADD", "parked:struck:task:kept", 1, "queued")), set()),
    "group-empty": (words(("SADD", "parked-groups", "unknown:nothing")), set()),
    "dead-missing": (words(("ZREM", "dead", "dead")), set()),
    "dead-stale": (words(("ZADD", "dead", FAR, "nobody", FAR, "queued", 1, "expired")), set()),
    "stored-missing": (words(("DEL", "stored"), ("ZREM", "stored:60000", "5:ended")), set()),
    "stored-stale": (
        words(
            ("ZADD", "stored:60000", FAR, "5:nobody", FAR, "6:ended", FAR, "of others"),
            ("ZADD", "stored:kept", FAR, "5:ended"),
        ),
        {"stored-wrong"},
    ),
    "stored-wrong": (words(("HINCRBY", "stored", "60000", 7), ("HSET", "stored", "5", 5)), set()),
    "waiter-missing": (
        words(("DEL", "waiters:lim"), ("DEL", "waiters:schedule o/s")),
        {"size-stale"},
    ),
    "waiter-stale": (
        words(
            ("ZADD", "waiters:lim", 1, "nobody"),
            ("ZADD", "waiters:schedule o/s", 5, "queued"),
        ),
        set(),
    ),
    "waiter-unsized": (words(("DEL", "sizes")), set()),
    "waiting-missing": (words(("ZREM", "waiting", "waiter")), set()),
    "waiting-stale": (words(("ZADD", "waiting", 1, "queued", 1, "nobody")), set()),
    "limit-stalled": (words(("HSET", "sizes", "lim", "2\n")), set()),
    "size-stale": (words(("HSET", "sizes", "nothing", "1\n")), set()),
    "turn-stalled": (words(("HDEL", "schedule:o/s", "key")), set()),
    "slot-stale": (
        words(
            ("ZADD", "slots:lim", 1, "x\nnobody"),
            ("ZADD", "slots:old", FAR, "of another acceptance\nqueued"),
        ),
        set(),
    ),
    "slot-unlisted": (without_its_list, set()),
    "slot-missing": (without_its_slot, {"limit-stalled"}),
    "holding-stale": (
        words(
            ("HSET", "holding", "x\nnobody", '{"slots":["lim"]}'),
            ("HSET", "holding", "y\nnobody", "none of ours"),
        ),
        set(),
    ),
    "orphan-stale": (words(("ZREM", "leases", "w:1")), set()),
    "orphan-missing": (without_the_list_of_its_worker, set()),
    "orphan-unlisted": (words(("SADD", "orphans:w:1", "x\nnobody")), set()),
    "due-time-stale": (words(("ZADD", "pending:o/s", 1, "queued", 1, "nobody")), set()),
    "key-unreadable": (words(("SET", "waiters:text", "x"), ("SET", "stream:text", "x")), set()),
}
"""How each relation is broken by hand, and what may be seen of that elsewhere."""

BY_HAND = {"record-unreadable", "key-unreadable"}
"""What is not repaired."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docket.storage.checks.PAUSE", 0.0)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://checks") as docket:
        yield docket


async def expect_mended(docket: Docket, kind: str) -> None:
    """Break one relation, and see it found, repaired, and not found again."""
    for task in (job, kept):
        docket.register(task)
    ward, operations = Ward(docket), docket.operations
    await ward.fill()
    whole = await operations.check()
    assert (whole.counts, whole.is_well, whole.records) == ({}, True, 13), kind

    breaks, beside = BREAKS[kind]
    for command in await breaks(ward):
        await ward.send(*command)

    found = await operations.check()
    assert {kind} <= {*found.counts} <= {kind, *beside}, kind
    assert not found.is_well
    assert not any(one.is_repaired for one in found.mismatches)
    mended = await operations.check(repair=True)
    assert mended.is_well is (kind not in BY_HAND), mended
    again = await operations.check()
    assert again.is_well is (kind not in BY_HAND), again


@pytest.mark.parametrize("kind", KINDS)
async def test_each_relation_that_is_broken_is_found_mended_and_not_found_again(
    docket: Docket, kind: str
) -> None:
    await expect_mended(docket, kind)


@pytest.mark.fleet
async def test_so_it_is_on_a_cluster(fleet: Fleet) -> None:
    for kind in KINDS:
        async with Docket(uuid.uuid4().hex, fleet.url("cluster")) as docket:
            await expect_mended(docket, kind)
            await docket.storage.erase()


async def test_repaired_work_runs(docket: Docket) -> None:
    ran: list[int] = []

    async def work(number: int) -> None:
        ran.append(number)

    docket.register(work)
    ward = Ward(docket)
    await docket.add(work, key="queued")(1)
    soon = datetime.now(timezone.utc) + timedelta(seconds=1)
    await docket.add(work, soon, key="future")(2)
    await docket.strike(work, action="park")
    await docket.add(work, key="parked")(3)
    await ward.send("XTRIM", "stream", "MAXLEN", 0)
    await ward.send("DEL", "queue")
    await ward.send("DEL", "parked:struck:task:work")

    found = await docket.operations.check(repair=True)
    assert {*found.counts} >= {"message-missing", "future-missing", "parked-missing"}
    assert found.is_well

    await docket.restore(work)
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    assert sorted(ran) == [1, 2, 3]


@pytest.mark.thorough
async def test_a_check_beside_workers_under_load_finds_nothing(docket: Docket) -> None:
    async def work(
        number: int,
        limit: ConcurrencyLimit = ConcurrencyLimit("number", max_concurrent=1),
        retry: ExponentialRetry = ExponentialRetry(attempts=2, minimum_delay=timedelta(0)),
    ) -> None:
        if number % 7 == 0:
            raise KeyError(number)
        await asyncio.sleep(0.001)

    async def add(part: int) -> None:
        for at in range(60):
            key = f"{part}-{at % 11}"
            await docket.replace(work, datetime.now(timezone.utc), key)(at % 11)
            await docket.add(work)(at % 5)
            if at % 3 == 0:
                await docket.cancel(f"{part}-{(at + 5) % 11}")

    docket.register(work)
    async with (
        Worker(docket, "a") as first,
        Worker(docket, "b") as second,
        working(first),
        working(second),
    ):
        adding = asyncio.gather(*map(add, range(4)))
        checks = 0
        while not adding.done() or checks < 5:
            checks += 1
            found = await docket.operations.check(repair=checks % 2 == 0)
            assert found.counts == {}, found.mismatches
        await adding
        await second.run_until_finished()


@pytest.mark.thorough
async def test_many_mismatches_are_repaired_in_slices_and_some_are_listed(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.operations.operations.LISTED", 100)
    docket.register(job)
    await docket.add_many([docket.call(job)() for _ in range(1_100)])
    await Ward(docket).send("DEL", "stream")
    async with longest(docket) as took:
        found = await docket.operations.check(repair=True)

    assert found.counts == {"message-missing": 1_100}
    assert (found.repaired, len(found.mismatches), found.records) == (1_100, 100, 1_100)
    assert took.records <= 10


def test_each_kind_has_its_sentence_and_is_broken_in_these_tests() -> None:
    assert BREAKS.keys() == KINDS.keys()
    page = Path("docs/fsck.md").read_text("utf-8")
    for name, kind in KINDS.items():
        assert f"| `{name}` | {kind.sentence} | {kind.repair} |" in page
