"""Events come in the order of time, each once, whatever the place is that one goes on from."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import Docket, Worker
from docket.errors import InvalidOption
from docket.insights import Event
from docket.insights.events import cursor_at, cursor_of, events_after, lost_after
from docket.storage.events import STREAMS

HOUR = timedelta(hours=1)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://insights-events") as docket:
        yield docket


async def write(docket: Docket, *entries: tuple[str, str, str]) -> None:
    """Write entries: the stream, the id, and what they are known by."""
    async with docket.redis() as client:
        any_client: Any = client
        for stream, place, name in entries:
            fields = {"key": name, "state": "failed", "verb": name}
            await any_client.xadd(docket.storage.keys.named(stream), fields, place)


def name_of(event: Event) -> str:
    return event.ended.key if event.ended else event.deed.record.verb if event.deed else ""


async def walk(docket: Docket, cursor: str = "", size: int = 500) -> list[Event]:
    """All events from a place on, in pages."""
    found: list[Event] = []
    cursor = cursor or cursor_at(None)
    while True:
        page = await events_after(docket.storage.events, cursor, size)
        assert page.events or page.is_last
        found += page.events
        cursor = page.cursor
        if page.is_last:
            return found


INTERLEAVED = (
    *(("history", "5-0", "b"), ("history", "7-1", "e"), ("history", "9-0", "h")),
    *(("history:completed", "1-0", "a"), ("history:completed", "5-0", "c")),
    *(("history:completed", "7-0", "d"), ("history:completed", "7-2", "f")),
    *(("audit", "7-2", "g"), ("audit", "20-0", "i")),
)


@pytest.mark.parametrize("size", [1, 2, 500])
async def test_whoever_goes_on_after_an_event_gets_all_that_follow_and_none_twice(
    docket: Docket, size: int
) -> None:
    await write(docket, *INTERLEAVED)

    whole = await walk(docket, size=size)

    assert [*map(name_of, whole)] == list("abcdefghi")
    assert [event.at for event in whole] == sorted(event.at for event in whole)
    for number, event in enumerate(whole, 1):
        assert await walk(docket, event.id, size) == whole[number:]
    since = await walk(docket, cursor_at(datetime.fromtimestamp(0.009, timezone.utc)), size)
    assert [*map(name_of, since)] == ["h", "i"]


async def test_what_a_clock_that_was_set_back_has_written_is_not_missed(docket: Docket) -> None:
    await write(docket, ("history", "1000-0", "a"))
    (first,) = await walk(docket)
    # Each stream goes on from its own last id, and this one had none.
    await write(docket, ("audit", "900-0", "b"), ("history", "1000-1", "c"))

    assert [*map(name_of, await walk(docket, first.id))] == ["b", "c"]


async def test_ends_and_deeds_of_a_docket_are_in_one_row(docket: Docket) -> None:
    await docket.strike("nobody", author="ann")
    await docket.add("trace", key="good")("hi")
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    page = await docket.insights.events()
    await asyncio.sleep(0.002)
    await docket.restore("nobody")

    assert [*map(name_of, page.events)] == ["strike", "good"]
    assert page.is_last
    (later,) = (await docket.insights.events(page.cursor)).events
    assert name_of(later) == "restore"
    since = (await docket.insights.events(since=later.at)).events
    assert [*map(name_of, since)] == ["restore"]
    places = dict(zip(STREAMS, later.id.split(","), strict=True))
    assert await docket.storage.events.last() == places


async def test_it_is_seen_where_entries_after_a_place_may_be_gone(docket: Docket) -> None:
    await docket.restore("nobody")
    (event,) = (await docket.insights.events(since=datetime.now(timezone.utc) - HOUR)).events
    await docket.cancel((await docket.add("trace", key="k")("hi")).key)

    # That a stream begins later does not mean that anything has gone.
    assert await lost_after(docket.storage, event.id) == []
    assert await lost_after(docket.storage, cursor_at(None)) == []
    keys = docket.storage.keys
    async with docket.redis() as client:
        any_client: Any = client
        await any_client.hset(keys.trimmed, "history", "memory")
    assert await lost_after(docket.storage, event.id) == ["history"]
    async with docket.redis() as client:
        any_client = client
        await any_client.hset(keys.trimmed, "audit", "age")
    await docket.restore("nobody")
    assert await lost_after(docket.storage, event.id) == ["history"]
    async with docket.redis() as client:
        await client.xdel(keys.audit, event.id.rpartition(",")[2])
        await client.xadd(keys.audit, {"verb": "x"})
    assert await lost_after(docket.storage, event.id) == ["history", "audit"]

    old = cursor_of(dict.fromkeys(STREAMS, "5-0"))
    async with docket.redis() as client:
        any_client = client
        await any_client.delete(keys.audit, keys.trimmed, "history")
    assert await lost_after(docket.storage, old) == [*STREAMS]


@pytest.mark.parametrize("cursor", ["7-1", "1-0,2-0,x", "1-0,2-0,3-0,4-0"])
async def test_no_id_of_an_event_is_refused(docket: Docket, cursor: str) -> None:
    with pytest.raises(InvalidOption, match="expected the id of an event, found"):
        await docket.insights.events(cursor)
