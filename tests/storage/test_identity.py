"""What tells one acceptance of a call from every other one, and what a call hears that is sent again."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import Disposition, Docket, Execution, ExecutionState
from docket.calls.unanswered import MOST, UnansweredCalls
from docket.errors import ForeignData, ServerUnavailable
from docket.storage.claims import Claimed, Claims, Consumer, Settlement, Verdict, release
from docket.storage.executions import NewExecution

TTL = 60_000


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(f"identity-{uuid.uuid4().hex[:12]}", "memory://identity") as docket:
        docket.register(note)
        yield docket
        await docket.storage.erase()


async def note(value: int = 0) -> None: ...


def exchange(docket: Docket, consumer: str) -> Claims:
    name, _, _ = consumer.partition(":")
    return docket.storage.exchange(Consumer(name, consumer, ("default",), 30_000, TTL, TTL))


async def claim(worker: Claims, slots: int = 10) -> list[Claimed]:
    _, catch = await worker.trade([], slots)
    assert catch is not None
    return catch.claimed


async def settle(worker: Claims, run: Claimed, word: str, **fields: Any) -> Verdict:
    given = (run.message, run.queue, run.key, run.generation, run.fence)
    ((verdict,), _) = await worker.trade([Settlement(*given, word, ttl=TTL, **fields)], 0)
    return verdict


def new(key: str, nonce: str, **fields: Any) -> NewExecution:
    return NewExecution(key, nonce, 0, "note", b"<call>", **fields)


async def words(docket: Docket, *calls: NewExecution, mode: Any = "add") -> list[Disposition]:
    return [one.disposition for one in await docket.storage.executions.schedule(calls, mode=mode)]


async def field(docket: Docket, key: str, name: str) -> str | None:
    async with docket.redis() as raw:
        client: Any = raw
        found = await client.hget(docket.runs_key(key), name)
    return None if found is None else found.decode()


async def snapshot(docket: Docket) -> dict[bytes, bytes]:
    """All that the docket has."""
    async with docket.redis() as raw:
        client: Any = raw
        names = [name async for name in client.scan_iter(f"{docket.prefix}:*")]
        return {name: await client.dump(name) for name in names}


async def restore(docket: Docket, kept: dict[bytes, bytes]) -> None:
    """What a failover does that has lost writes, and what a person does who puts a backup back."""
    await docket.storage.erase()
    async with docket.redis() as client:
        for name, dumped in kept.items():
            await client.restore(name, 0, dumped)


# --- identity ------------------------------------------------------------------------------------


async def test_a_key_that_was_made_for_its_call_is_the_identity(docket: Docket) -> None:
    execution = await docket.add(note)()
    (run,) = await claim(exchange(docket, "one:1"))

    assert run.identity == execution.key
    assert await field(docket, execution.key, "nonce") is None


async def test_each_use_of_a_key_is_another_acceptance(docket: Docket) -> None:
    worker = exchange(docket, "one:1")
    identities: list[str] = []
    for _ in range(2):
        await docket.add(note, key="again")()
        (run,) = await claim(worker)
        identities.append(run.identity)
        await settle(worker, run, "completed")
        async with docket.redis() as client:
            await client.delete(docket.runs_key("again"))

    assert len({"again", *identities}) == 3


@pytest.mark.parametrize("word", ["again", "back"])
async def test_another_try_is_of_the_same_acceptance(docket: Docket, word: str) -> None:
    await docket.add(note, key="tried")()
    worker = exchange(docket, "one:1")
    (first,) = await claim(worker)

    await settle(worker, first, word, attempt=2)
    (second,) = await claim(worker)

    assert first.identity == second.identity


async def test_the_next_run_of_a_perpetual_task_is_another_acceptance(docket: Docket) -> None:
    await docket.add(note)()
    worker = exchange(docket, "one:1")
    identities: list[str] = []
    for _ in range(3):
        (run,) = await claim(worker)
        identities.append(run.identity)
        await settle(worker, run, "next")

    assert len(set(identities)) == 3


async def test_who_takes_an_execution_by_hand_knows_its_identity(docket: Docket) -> None:
    execution = await docket.add(note, key="hand")()
    assert await execution.claim("me")

    assert execution.identity == await field(docket, "hand", "nonce")
    await execution.mark_as_completed()
    assert (execution.state, execution.worker) == (ExecutionState.COMPLETED, "me")


async def test_a_batch_that_names_a_key_twice_holds_two_calls(docket: Docket) -> None:
    now = datetime.now(timezone.utc)
    added = await docket.add_many([docket.call(note, now, "a")(1), docket.call(note, now, "a")(2)])
    replaced = await docket.replace_many(
        [docket.call(note, now, "r")(1), docket.call(note, now, "r")(2)]
    )

    told = [one.disposition for one in added]
    assert told == [Disposition.SCHEDULED, Disposition.ALREADY_SCHEDULED]
    assert [one.generation for one in replaced] == [1, 2]
    standing = [await docket.get_execution(key) for key in ("a", "r")]
    assert [one.args for one in standing if one] == [(1,), (2,)]


# --- sent again ----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "completed"])
async def test_a_replace_that_is_sent_again_leaves_a_later_one_alone(
    docket: Docket, end: str
) -> None:
    first, second = new("key", "first"), new("key", "second")
    await words(docket, first, mode="replace")
    if end:
        worker = exchange(docket, "one:1")
        (run,) = await claim(worker)
        await settle(worker, run, end)
    await words(docket, second, mode="replace")

    assert await words(docket, first, mode="replace") == [Disposition.SCHEDULED]
    assert await field(docket, "key", "nonce") == "second"


async def test_only_the_last_eight_are_remembered(docket: Docket) -> None:
    for number in range(10):
        await words(docket, new("key", f"nonce-{number}"), mode="replace")

    ring = await field(docket, "key", "ring")
    assert ring is not None
    assert ring.split("\n") == [f"nonce-{number}" for number in range(1, 9)]


async def test_what_was_displaced_long_ago_is_not_remembered(docket: Docket) -> None:
    await words(docket, new("key", "first"))
    worker = exchange(docket, "one:1")
    (run,) = await claim(worker)
    await settle(worker, run, "completed")
    async with docket.redis() as client:
        await client.hincrby(docket.runs_key("key"), "completed", -61_000)

    await words(docket, new("key", "second"))

    assert await field(docket, "key", "ring") is None


@pytest.mark.parametrize("word", ["again", "next", "back", "waiting", "parked"])
async def test_a_settlement_that_is_sent_again_was_recorded_whatever_has_come_since(
    docket: Docket, word: str
) -> None:
    await docket.add(note, key="key")()
    one, other = exchange(docket, "one:1"), exchange(docket, "other:1")
    (run,) = await claim(one)
    fields: dict[str, Any] = {"attempt": 2}
    if word == "waiting":
        fields = {"reason": "limit", "due": 1}
    elif word == "parked":
        fields = {"reason": "unknown_task"}
    assert await settle(one, run, word, **fields) is Verdict.RECORDED
    if word == "parked":
        await docket.storage.workers.unpark("unknown_task", ["note"])
    assert len(await claim(other)) == 1

    assert await settle(one, run, word, **fields) is Verdict.ALREADY
    await docket.replace(note, datetime.now(timezone.utc), "key")()
    assert await settle(one, run, word, **fields) is Verdict.ALREADY


async def test_an_end_that_was_recorded_was_so_also_when_the_key_is_used_again(
    docket: Docket,
) -> None:
    await docket.add(note, key="key")()
    worker = exchange(docket, "one:1")
    (run,) = await claim(worker)
    await settle(worker, run, "completed")
    await docket.add(note, key="key")()

    assert await settle(worker, run, "completed") is Verdict.ALREADY


async def test_the_same_fence_of_another_consumer_counts_for_nothing(docket: Docket) -> None:
    await docket.add(note, key="key")()
    one, other = exchange(docket, "one:1"), exchange(docket, "one:2")
    (run,) = await claim(one)

    assert await settle(other, run, "completed") is Verdict.STALE
    assert await settle(one, run, "completed") is Verdict.RECORDED
    assert await settle(other, run, "completed") is not Verdict.ALREADY


# --- two histories -------------------------------------------------------------------------------


async def test_no_two_runs_of_two_histories_share_fence_and_consumer(docket: Docket) -> None:
    await docket.add_many([docket.call(note, key=f"k{number}")() for number in range(4)])
    before = await snapshot(docket)
    one, other = exchange(docket, "one:1"), exchange(docket, "other:1")
    lost = await claim(one)

    await restore(docket, before)
    heirs = await claim(other)

    assert {run.key for run in lost} == {run.key for run in heirs}
    holders = [("one", run.fence) for run in lost] + [("other", run.fence) for run in heirs]
    assert len(set(holders)) == 8
    assert min(run.fence for run in heirs) > max(run.fence for run in lost)
    for run in lost:
        assert await settle(one, run, "completed") is Verdict.STALE
    for run in heirs:
        assert await settle(other, run, "completed", result=b"<result>") is Verdict.RECORDED
        assert await settle(other, run, "completed", result=b"<result>") is Verdict.ALREADY
    for run in lost:
        assert await settle(one, run, "completed") is not Verdict.ALREADY


async def test_two_servers_that_both_hand_out_a_fence_do_not_take_each_others_runs(
    docket: Docket,
) -> None:
    await docket.add(note, key="key")()
    before = await snapshot(docket)
    one, other = exchange(docket, "one:1"), exchange(docket, "other:1")
    (lost,) = await claim(one)
    await restore(docket, before)
    (heir,) = await claim(other)
    # Both served for a while, with clocks that agree to the microsecond.
    async with docket.redis() as client:
        await client.hset(docket.runs_key("key"), "fence", lost.fence)
    same = heir._replace(fence=lost.fence)

    assert await settle(one, lost, "failed") is Verdict.STALE
    assert await settle(other, same, "completed") is Verdict.RECORDED
    assert await settle(one, lost, "failed") is not Verdict.ALREADY


async def test_a_run_that_others_have_ended_is_not_told_that_its_end_stands(docket: Docket) -> None:
    await docket.add(note, key="key")()
    one, other = exchange(docket, "one:1"), exchange(docket, "other:1")
    (run,) = await claim(one)
    async with docket.redis() as client:
        await client.hset(docket.runs_key("key"), "crashes", 9)
    await release(docket.storage.connection, docket.storage.keys, "one:1", ["default"])
    assert await claim(other) == []

    assert await settle(one, run, "completed") is Verdict.STALE
    found = await docket.get_execution("key")
    assert found is not None
    assert found.state is ExecutionState.FAILED


# --- calls that were not answered ----------------------------------------------------------------


class Lossy:
    """Answers that are lost on the way back."""

    def __init__(self, docket: Docket, monkeypatch: pytest.MonkeyPatch) -> None:
        self._connection = docket.storage.connection
        self._send = self._connection.send
        self._patch = monkeypatch

    async def send(self, *commands: Any) -> Any:
        await self._send(*commands)
        raise ServerUnavailable("the reply was lost")

    def lose(self) -> None:
        self._patch.setattr(self._connection, "send", self.send)

    def mend(self) -> None:
        self._patch.setattr(self._connection, "send", self._send)


@pytest.fixture
def lossy(docket: Docket, monkeypatch: pytest.MonkeyPatch) -> Lossy:
    monkeypatch.setattr("docket.storage.executions.PATIENCE", timedelta(0))
    return Lossy(docket, monkeypatch)


async def complete_all(docket: Docket) -> int:
    worker = exchange(docket, "one:1")
    runs = await claim(worker, 100)
    for run in runs:
        await settle(worker, run, "completed")
    return len(runs)


Asks = Callable[[Docket], Any]


async def _by_hand(docket: Docket) -> Disposition:
    past = datetime(2020, 1, 1, tzinfo=timezone.utc)
    return await Execution(docket, note, (1,), {}, "key", past, 1).schedule()


WAYS: dict[str, Asks] = {
    "add": lambda docket: docket.add(note, key="key")(1),
    "add_many": lambda docket: docket.add_many(
        [docket.call(note, key=key)(1) for key in ("one", "two", "three")], chunk_size=2
    ),
    "the same twice": lambda docket: docket.replace_many(
        [docket.call(note, datetime(2020, 1, 1, tzinfo=timezone.utc), "key")(1)] * 2
    ),
    "replace": lambda docket: docket.replace(
        note, datetime(2020, 1, 1, tzinfo=timezone.utc), "key"
    )(1),
    "by hand": _by_hand,
}


@pytest.mark.thorough
@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_was_not_answered_is_the_same_when_it_is_made_again(
    docket: Docket, lossy: Lossy, way: str
) -> None:
    lossy.lose()
    with pytest.raises(ServerUnavailable, match="lost"):
        await asyncio.wait_for(WAYS[way](docket), 60)
    lossy.mend()
    ran = await complete_all(docket)

    await WAYS[way](docket)
    rest = await complete_all(docket)
    assert ran + rest == (3 if way == "add_many" else 1)

    # It was answered: from now on it is another call.
    await WAYS[way](docket)
    assert await complete_all(docket) == (3 if way == "add_many" else 1)


@pytest.mark.thorough
async def test_another_call_with_the_key_is_another_one(docket: Docket, lossy: Lossy) -> None:
    lossy.lose()
    with pytest.raises(ServerUnavailable):
        await docket.add(note, key="key")(1)
    lossy.mend()

    other = await docket.add(note, key="key")(2)
    assert other.disposition is Disposition.ALREADY_SCHEDULED
    same = await docket.add(note, key="key")(1)
    assert same.disposition is Disposition.SCHEDULED


@pytest.mark.thorough
async def test_a_call_that_nothing_tells_of_any_more_is_not_made_twice_unasked(
    docket: Docket, lossy: Lossy
) -> None:
    moments = [time.monotonic() - 100]
    docket.unanswered = UnansweredCalls(docket.record_ttl, lambda: moments[0])
    lossy.lose()
    with pytest.raises(ServerUnavailable):
        await docket.add(note, key="key")(1)
    lossy.mend()
    moments[0] += 100
    await complete_all(docket)
    async with docket.redis() as client:
        await client.delete(docket.runs_key("key"))

    with pytest.raises(ServerUnavailable, match="it is not known whether note key was scheduled"):
        await docket.add(note, key="key")(1)

    assert await complete_all(docket) == 0
    again = await docket.add(note, key="key")(1)
    assert again.disposition is Disposition.SCHEDULED


def test_calls_are_forgotten_after_a_while_and_beyond_so_many() -> None:
    moments = [0.0]
    calls = UnansweredCalls(timedelta(minutes=15), lambda: moments[0])

    def fail(*sent: NewExecution) -> None:
        with pytest.raises(ServerUnavailable, match="away"), calls.sending("add", sent):
            raise ServerUnavailable("away")

    def nonce_of(key: str) -> str:
        with calls.sending("add", [new(key, "new")]) as (sent,):
            return sent.nonce

    fail(new("first", "old"), new("fresh", "*"))
    assert nonce_of("fresh") == "new"
    fail(*(new(f"k{number}", "old") for number in range(MOST)))
    assert nonce_of("first") == "new"
    assert nonce_of("k0") == "old"
    moments[0] = 900.0
    assert nonce_of("k1") == "new"


# --- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "when",
    [
        datetime.max.replace(tzinfo=timezone.utc),
        datetime.min.replace(tzinfo=timezone.utc),
        datetime(1969, 7, 20, 20, 17, 40, 1, tzinfo=timezone.utc),
        datetime(2100, 1, 1, 0, 0, 0, 123456, tzinfo=timezone.utc),
        datetime(2100, 1, 1, 0, 0, 0, 123000, tzinfo=timezone.utc),
    ],
    ids=str,
)
async def test_a_due_time_is_read_back_as_it_was_given(docket: Docket, when: datetime) -> None:
    await docket.add(note, when, "key")()

    found = await docket.get_execution("key")
    assert found is not None
    assert found.when == when
    shown = (await docket.snapshot()).future
    assert [one.when for one in shown] == [when]
    assert (await field(docket, "key", "when") is None) == (when.microsecond == 123000)
    await docket.clear()


@pytest.mark.parametrize(("furthest", "offset"), [(datetime.max, -12), (datetime.min, 12)])
async def test_what_is_beyond_the_calendar_is_read_as_the_end_of_it(
    docket: Docket, furthest: datetime, offset: int
) -> None:
    await docket.add(note, furthest.replace(tzinfo=timezone(timedelta(hours=offset))), "key")()

    found = await docket.get_execution("key")
    assert found is not None
    assert found.when == furthest.replace(tzinfo=timezone.utc)


async def test_nothing_falls_due_before_its_time(docket: Docket) -> None:
    when = datetime(2100, 1, 1, 0, 0, 0, 123001, tzinfo=timezone.utc)
    await docket.add(note, when, "key")()

    assert await field(docket, "key", "due") == str(int(when.timestamp()) * 1000 + 124)


async def test_events_tell_due_times_to_the_microsecond(docket: Docket) -> None:
    when = datetime(2100, 1, 1, 0, 0, 0, 123456, tzinfo=timezone.utc)
    execution = await docket.add(note, when, "key")()
    ready, told = asyncio.Event(), list[str]()

    async def follow() -> None:
        async for event in execution.subscribe(ready=ready):
            if event["type"] == "state":
                told.append(event["when"])
                if len(told) == 2:
                    return

    following = asyncio.create_task(follow())
    await ready.wait()
    later = when + timedelta(microseconds=1)
    await docket.replace(note, later, "key")()
    await asyncio.wait_for(following, 60)

    assert told == [when.isoformat(), later.isoformat()]


# --- the format ----------------------------------------------------------------------------------


async def test_a_docket_of_another_format_is_left_alone(docket: Docket) -> None:
    await docket.add(note, key="key")()
    assert await docket.storage.format() == "2"
    async with docket.redis() as client:
        await client.set(docket.key("format"), "3")
        with pytest.raises(ForeignData, match="of format 3 and this release works with format 2"):
            async with Docket(docket.name, docket.url):
                pass
        await client.delete(docket.key("format"))
        with pytest.raises(ForeignData, match="of format 1 and this release"):
            async with Docket(docket.name, docket.url):
                pass


async def test_whoever_works_says_the_format_again(docket: Docket) -> None:
    assert await docket.storage.format() == ""
    await docket.storage.workers.register("one", ["note"], timedelta(seconds=10))
    assert await docket.storage.format() == "2"
    await docket.storage.erase()
    await docket.add(note, datetime(2100, 1, 1, tzinfo=timezone.utc))()
    assert await docket.storage.format() == "2"
    await docket.storage.erase()
    await docket.storage.configurations.beat("owner", "me", 1000, {})
    assert await docket.storage.format() == "2"
