"""What has ended can be found by time, end, task, argument, tag and error, in bounded questions."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import pytest

from docket import Docket, Logged, Worker
from docket.connection.base import Command, Reply
from docket.connection.standalone import Standalone
from docket.errors import InvalidOption
from docket.insights import Choice, Where
from docket.insights import history as questions


async def charge(customer: Annotated[str, Logged()], amount: Annotated[Any, Logged()] = 1) -> None:
    if customer == "robert":
        raise KeyError(amount)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://insights-history") as docket:
        docket.register(charge)
        yield docket


async def work(docket: Docket) -> None:
    async with Worker(docket) as worker:
        worker.revision = 12
        await worker.run_until_finished()


async def keys(docket: Docket, choice: Choice) -> list[str]:
    return [one.key for one in (await docket.insights.history(choice)).entries]


async def test_what_has_ended_is_chosen_by_all_that_is_known_of_it(docket: Docket) -> None:
    await docket.add(charge, key="a", tags=["invoice"])("acme", 5)
    await work(docket)
    await docket.add(charge, key="b", tags=["invoice", "late"])("robert", 7)
    await work(docket)
    between = await docket.storage.executions.now()
    await asyncio.sleep(0.002)
    await docket.add(charge, key="c")("acme", True)
    await work(docket)

    assert await keys(docket, Choice()) == ["c", "b", "a"]
    moment = datetime.fromtimestamp(between / 1000, timezone.utc)
    for choice, found in (
        (Choice(states=["failed"]), ["b"]),
        (Choice(states=["completed"]), ["c", "a"]),
        (Choice(states=["completed", "failed"]), ["c", "b", "a"]),
        (Choice(task="charge", key="a"), ["a"]),
        (Choice(task="other"), []),
        (Choice(error="KeyError"), ["b"]),
        (Choice(tags=["invoice"]), ["b", "a"]),
        (Choice(tags=["invoice", "late"]), ["b"]),
        (Choice(where=[Where("customer", "==", "acme")]), ["c", "a"]),
        (Choice(where=[Where("amount", ">=", "5")]), ["b", "a"]),
        (Choice(where=[Where("amount", "==", "true")]), ["c"]),
        (Choice(where=[Where("amount", "<", 6), Where("amount", ">", 4)]), ["a"]),
        (Choice(where=[Where("amount", "<", "much")]), []),
        (Choice(where=[Where("customer", "!=", "acme")]), ["b"]),
        (Choice(where=[Where("amount", "!=", "much")]), ["c", "b", "a"]),
        (Choice(where=[Where("secret", "==", "1")]), []),
        (Choice(since=moment + timedelta(milliseconds=1)), ["c"]),
        (Choice(until=moment + timedelta(milliseconds=1)), ["b", "a"]),
    ):
        assert await keys(docket, choice) == found, choice
    (failed,) = (await docket.insights.history(Choice(states=["failed"]))).entries
    assert await keys(docket, Choice(error=failed.fingerprint)) == ["b"]


async def test_pages_go_on_where_the_one_before_has_ended_and_miss_nothing(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(7):
        await docket.add(charge, key=f"k{at}")("robert" if at % 3 == 0 else "acme", at)
        await work(docket)
    trips: list[int] = []
    send = Standalone.send

    async def counted(self: Standalone, *commands: Command) -> list[Reply]:
        trips.append(len(commands))
        return await send(self, *commands)

    monkeypatch.setattr(Standalone, "send", counted)

    first = await docket.insights.history(limit=3)
    assert len(trips) == 1
    second = await docket.insights.history(limit=3, cursor=first.cursor)
    third = await docket.insights.history(limit=3, cursor=second.cursor)
    pages = [[one.key for one in page.entries] for page in (first, second, third)]
    assert pages == [["k6", "k5", "k4"], ["k3", "k2", "k1"], ["k0"]]
    assert third.cursor == ""
    assert first.reach.since is not None
    assert first.reach.why == ""

    trips.clear()
    monkeypatch.setattr(questions, "SLICE", 2)
    assert await keys(docket, Choice(key="k0")) == ["k0"]
    assert len(trips) <= 4
    monkeypatch.setattr(questions, "LOOKED_AT", 2)
    page = await docket.insights.history(Choice(key="k0"))
    assert page.entries == []
    assert page.cursor
    monkeypatch.setattr(questions, "COUNTED", 2)
    assert (await docket.insights.stats()).since is not None


@pytest.mark.parametrize("cursor", ["1-1", "now,then", "1-1,1-1,1-1"])
async def test_another_cursor_is_refused(docket: Docket, cursor: str) -> None:
    with pytest.raises(InvalidOption, match="expected the cursor that a page"):
        await docket.insights.history(cursor=cursor)


async def test_runs_are_counted_and_their_length_is_told(docket: Docket) -> None:
    await docket.add_many(docket.call(charge)("acme") for _ in range(3))
    await docket.add(charge)("robert")
    await docket.add(charge, datetime.now(timezone.utc) + timedelta(hours=1), "away")("acme")
    await docket.cancel("away")
    await work(docket)

    ((charged),) = (await docket.insights.stats(Choice(task="charge"))).tasks
    ((cancelled),) = (await docket.insights.stats(Choice(states=["cancelled"]))).tasks

    assert charged.counts == {"completed": 3, "failed": 1, "cancelled": 1}
    assert 0 < (charged.p50 or 0) <= (charged.p95 or 0)
    assert (cancelled.p50, cancelled.p95) == (None, None)
    assert (await docket.insights.stats(Choice(task="none"))).tasks == []


async def test_the_history_explains_what_has_no_record_any_more(docket: Docket) -> None:
    await docket.add(charge, key="good")("acme")
    await docket.add(charge, key="bad")("robert", 3)
    await docket.add(charge, datetime.now(timezone.utc) + timedelta(hours=1), "away")("acme")
    await docket.cancel("away")
    await work(docket)
    async with docket.redis() as client:
        any_client: Any = client
        await any_client.delete(*map(docket.runs_key, ("good", "bad", "away")))
        stream = docket.storage.keys.history_of_failures
        for reason in ("struck", "expired", "cooldown (1s)"):
            fields = {"key": reason, "task": "charge", "state": "cancelled", "reason": reason}
            await any_client.xadd(stream, fields)
        await any_client.xadd(
            stream, {"key": "tried", "state": "retried", "about": '{"error":"E"}'}
        )

    told = {
        key: await docket.insights.explain(key)
        for key in ("good", "bad", "away", "struck", "expired", "cooldown (1s)", "tried")
    }

    causes = {key: one and one.cause for key, one in told.items()}
    assert causes == {
        "good": "completed",
        "bad": "failed",
        "away": "cancelled",
        "struck": "cancelled_struck",
        "expired": "dropped",
        "cooldown (1s)": "dropped",
        "tried": "failed",
    }
    bad = told["bad"]
    assert bad is not None
    assert bad.sentence.endswith(": KeyError: #.")
    assert bad.advice == "add it again: `docket task add charge`"
    assert "It was attempt 1 of task charge in queue default on " in bad.facts[0].says
    assert " under revision 12, and took " in bad.facts[0].says
    assert bad.facts[1].says == "Its record is gone; this is from the history."
    assert await docket.insights.explain("never") is None
