"""Every deed of an operator is written down once, whoever does it, with what came of it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import Docket, Worker
from docket.errors import ServerRefused, ServerUnavailable
from docket.insights import AuditPage
from docket.operations import Selection, new_deed
from docket.operations.audit import LARGEST, Audit, bounded
from docket.storage.audit import AuditLimits, DeedRecord

HOUR = timedelta(hours=1)


async def charge(customer: str) -> None: ...


async def breaks(customer: str) -> None:
    raise ValueError("closed")


def later() -> datetime:
    return datetime.now(timezone.utc) + HOUR


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://audits") as docket:
        docket.register(charge)
        docket.register(breaks)
        yield docket


@pytest.fixture
async def anywhere(server_url: str) -> AsyncIterator[Docket]:
    """A docket on every kind of server."""
    async with Docket(uuid.uuid4().hex, server_url) as docket:
        docket.register(charge)
        yield docket
        await docket.storage.erase()


async def records(docket: Docket) -> list[DeedRecord]:
    """The deeds, the earliest first."""
    page = await docket.insights.audit(limit=1000)
    return [entry.record for entry in reversed(page.entries)]


async def die(docket: Docket, *keys: str) -> None:
    for key in keys:
        await docket.add(breaks, key=key)("acme")
    async with Worker(docket) as worker:
        await worker.run_until_finished()


async def test_deeds_are_written_down_with_author_reason_and_outcome(anywhere: Docket) -> None:
    docket, operations = anywhere, anywhere.operations
    await docket.add(charge, key="k", when=later())("acme")
    by: dict[str, Any] = {"author": "ann", "reason": "INC-7"}

    await operations.run_now("k", "none", **by)
    await operations.pause_queues("bulk", lasting=HOUR, **by)
    await operations.resume_queues("bulk", "other", **by)
    found = await operations.find(Selection(task="charge"))
    deed = new_deed()
    await operations.cancel(
        *found.matches, deed=deed, chosen_by=Selection(task="charge").about, **by
    )
    await docket.strike(charge, "customer", "==", "acme", action="park", expires=HOUR, **by)
    await docket.restore(charge, "customer", "==", "acme", **by)
    await docket.restore(charge, **by)

    written = await records(docket)
    assert [(one.verb, one.done, one.meant, dict(one.refused)) for one in written] == [
        ("run-now", 1, 2, {"unknown": 1}),
        ("queue pause", 1, 1, {}),
        ("queue resume", 1, 2, {"not_paused": 1}),
        ("cancel", 1, 1, {}),
        ("strike", 1, 1, {}),
        ("restore", 1, 1, {}),
        ("restore", 0, 1, {"not_active": 1}),
    ]
    assert {(one.author, one.reason, one.source) for one in written} == {("ann", "INC-7", "python")}
    assert [one.about for one in written[1:5]] == [
        {"queues": ["bulk"], "lasting": "1h"},
        {"queues": ["bulk", "other"]},
        {"keys": ["k"], "by": {"task": "charge"}},
        {"rule": "charge(customer == 'acme')", "action": "park", "expires": "1h"},
    ]
    assert written[3].deed == deed
    assert written[0].host
    events = (await docket.insights.events()).events
    assert [one.deed.record for one in events if one.deed] == written
    assert [one.ended.key for one in events if one.ended] == ["k"]


async def test_a_deed_on_many_is_one_entry_with_a_sample(docket: Docket) -> None:
    keys = [f"k{number:03}" for number in range(250)]
    await docket.add_many(docket.call(charge, key=key, when=later())("acme") for key in keys)

    await docket.operations.cancel(*keys, author="ann")
    await docket.operations.discard(*keys[:2], author="ann")

    cancelled, discarded = await records(docket)
    assert (cancelled.done, cancelled.meant, cancelled.about["keys"]) == (250, 250, keys[:5])
    assert (discarded.done, dict(discarded.refused)) == (0, {"not_dead": 2})


async def test_a_retry_and_what_it_has_changed_bear_one_id(docket: Docket) -> None:
    await die(docket, "k", "l")

    await docket.operations.retry("k", changes={"customer": "robert" * 100}, author="ann", rate=100)
    await docket.operations.retry("l", "none")

    first, second = await records(docket)
    again = await docket.get_execution("k")
    assert again is not None
    assert [one.deed for one in again.retries] == [first.deed]
    assert first.about["changes"]["customer"].startswith("'robertrobert")
    assert len(first.about["changes"]["customer"]) == 200
    assert (second.done, dict(second.refused), second.author) == (1, {"unknown": 1}, "")


async def test_what_was_done_before_it_was_broken_off_is_written_down(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"k{number:03}" for number in range(250)]
    await docket.add_many(docket.call(charge, key=key, when=later())("acme") for key in keys)
    run_now, slices = docket.storage.deeds.run_now, list[int]()

    async def break_off(some: Any) -> Any:
        slices.append(len(some))
        if len(slices) == 3:
            raise ServerUnavailable("the line is cut")
        return await run_now(some)

    monkeypatch.setattr(docket.storage.deeds, "run_now", break_off)
    with pytest.raises(ServerUnavailable):
        await docket.operations.run_now(*keys)

    (written,) = await records(docket)
    assert (written.done, written.meant, written.error) == (200, 250, "ServerUnavailable")
    assert slices == [100, 100, 50]


async def test_an_entry_whose_reply_is_lost_is_written_once(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # From now on the server knows the script: what is sent does something.
    await docket.operations.pause_queues("bulk")
    send, lost = docket.storage.connection.send, [True]

    async def lose_the_reply(*commands: Any) -> list[Any]:
        replies = await send(*commands)
        if lost and any("verb" in command for command in commands):
            lost.pop()
            raise ServerUnavailable("the reply is lost")
        return replies

    monkeypatch.setattr(docket.storage.connection, "send", lose_the_reply)
    await docket.operations.resume_queues("bulk")

    assert lost == []
    assert [one.verb for one in await records(docket)] == ["queue pause", "queue resume"]


async def test_applications_that_add_cancel_and_find_nothing_leave_no_entry(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme")
    await docket.cancel("k")
    assert await docket.clear() == 0
    assert (await docket.operations.check(repair=True)).is_well
    assert await docket.operations.cancel() == []
    assert await records(docket) == []

    await docket.add(charge, key="l")("acme")
    assert await docket.clear(author="ann") == 1
    ((cleared),) = await records(docket)
    assert (cleared.verb, cleared.author, cleared.done, cleared.meant) == ("clear", "ann", 1, 1)


async def test_a_repair_is_a_deed_and_a_look_is_none(docket: Docket) -> None:
    keys = docket.storage.keys
    await docket.storage.connection.send(("ZADD", keys.parked, 1, "nobody"))
    await docket.storage.connection.send(("HSET", keys.run("odd"), "x", "y"))

    assert not (await docket.operations.check()).is_well
    assert await records(docket) == []
    await docket.operations.check(repair=True, author="ann")

    (repaired,) = await records(docket)
    assert (repaired.verb, repaired.done, repaired.meant) == ("fsck", 1, 2)
    assert dict(repaired.refused) == {"record-unreadable": 1}


async def test_parked_work_is_released_by_a_deed(docket: Docket) -> None:
    await docket.add(charge, key="k")("acme")
    del docket.tasks["charge"]
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    await docket.operations.release("k", author="ann", dry_run=True)

    await docket.operations.release("k", "none", author="ann", chosen_by={"task": "charge"})

    (released,) = await records(docket)
    assert (released.verb, released.done, released.meant) == ("parked release", 1, 2)
    assert dict(released.refused) == {"unknown": 1}
    assert released.about == {"keys": ["k", "none"], "by": {"task": "charge"}}


async def test_a_deed_is_done_also_where_its_entry_cannot_be_written(
    docket: Docket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with docket.redis() as client:
        await client.set(docket.storage.keys.audit, "something else")
    await docket.operations.pause_queues("bulk")

    assert [one.queue for one in await docket.storage.queues.paused()] == ["bulk"]
    assert caplog.text.count("The audit lacks a deed, queue pause: ") == 1

    async def refuse(*_: Any) -> Any:
        raise ServerRefused("no permission")

    # Its author hears that nothing was done, which is enough.
    monkeypatch.setattr(docket.storage.queues, "pause", refuse)
    with pytest.raises(ServerRefused):
        await docket.operations.pause_queues("bulk")
    assert caplog.text.count("The audit lacks a deed") == 1


async def test_an_entry_is_bounded_and_can_always_be_written(docket: Docket) -> None:
    torn = "\udcff\n" + "é" * 5000
    for reason in (torn, ""):
        async with docket.operations.audit.recording(
            "test", author=torn, reason=reason, about={"keys": [torn] * 9, "none": []}
        ):
            pass

    first, second = await records(docket)
    assert first.author == first.reason
    assert first.author.startswith("\\udcff\\né")
    assert len(first.author) == 200
    assert (second.reason, second.about) == ("", first.about)
    assert list(first.about) == ["cut"]
    assert (
        len(bounded({"much": {str(number): "x" * 999 for number in range(99)}})["cut"]) == LARGEST
    )
    assert bounded({"count": 3, "no": None, "of": {"it": ()}, "as": (True, "é")}) == {
        "count": 3,
        "as": [True, "é"],
    }


async def test_the_oldest_entries_go_and_all_of_them_if_there_are_no_more_deeds(
    docket: Docket,
) -> None:
    stream, keys = docket.storage.audit, docket.storage.keys
    audit = Audit(stream)

    async def deeds(count: int) -> AuditPage:
        for number in range(count):
            async with audit.recording("test", reason=str(number)):
                pass
        return await docket.insights.audit(limit=1000)

    assert (await deeds(1)).why == ""
    async with docket.redis() as client:
        assert 89 * 86_400 < await client.ttl(keys.audit) <= 90 * 86_400
        await client.delete(keys.audit)
        redis: Any = client
        for number in range(1, 301):
            await redis.xadd(keys.audit, {"verb": "long ago", "reason": "x" * 100}, f"1-{number}")
    page = await deeds(300)
    assert (len(page.entries) < 500, page.why) == (True, "age")

    stream.limits = AuditLimits(timedelta(hours=2), 32 << 10)
    page = await deeds(100)
    assert (len(page.entries) < 250, page.why) == (True, "memory")
    assert page.entries[0].record.reason == "99"
    assert page.since == page.entries[-1].at
    async with docket.redis() as client:
        redis = client
        taken = await redis.execute_command("MEMORY", "USAGE", keys.audit, "SAMPLES", 0)
        assert taken <= 48 << 10
        assert 7_000 < await client.ttl(keys.audit) <= 7_200
        assert await client.ttl(keys.trimmed) > 7_000
