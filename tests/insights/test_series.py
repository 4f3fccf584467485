"""Ends and durations over time come from what workers send, once for each end, in bounded questions."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated

import pytest

from docket import Cooldown, Docket, ExponentialRetry, Perpetual, Worker
from docket.connection.base import Command, Reply
from docket.connection.standalone import Standalone
from docket.errors import ServerRefused, ServerUnavailable
from docket.insights import SeriesPoint
from docket.storage.configurations import RevisionChange, RevisionEntry
from docket.storage.history import NO_HISTORY
from docket.storage.series import Row, Series
from docket.worker.services import recent_ends
from docket.worker.services.recent_ends import RecentEnds, SeriesReport

HOUR = timedelta(hours=1)
runs: list[str] = []


async def charge(
    customer: str, retry: ExponentialRetry = ExponentialRetry(attempts=2, minimum_delay=timedelta())
) -> None:
    runs.append(customer)
    if customer == "robert" or (customer == "late" and runs.count("late") == 1):
        raise KeyError(customer)


async def rhythm(perpetual: Perpetual = Perpetual()) -> None:
    runs.append("rhythm")
    if runs.count("rhythm") == 3:
        perpetual.cancel()
    if runs.count("rhythm") == 2:
        raise ValueError("out of step")


async def cool(customer: Annotated[str, Cooldown(HOUR)]) -> None: ...


async def stale() -> None: ...


async def add_all(docket: Docket) -> None:
    """Add work that ends in every way."""
    runs.clear()
    for task in (charge, rhythm, cool, stale):
        docket.register(task)
    for customer in ("acme", "robert", "late"):
        await docket.add(charge)(customer)
    await docket.add(rhythm, key="r")()
    for _ in range(2):
        await docket.add(cool)("acme")
    now = datetime.now(timezone.utc)
    await docket.add(stale, expires=now + timedelta(milliseconds=1))()
    await docket.add(charge, key="struck")("struck")
    await docket.strike(charge, "customer", "==", "struck")


COUNTS = {
    "charge": {"completed": 2, "failed": 1, "retried": 2, "struck": 1},
    "cool": {"completed": 1, "dropped": 1},
    "rhythm": {"completed": 2, "failed": 1},
    "stale": {"expired": 1},
}


@pytest.fixture(params=[None, NO_HISTORY], ids=["history", "no history"])
async def docket(request: pytest.FixtureRequest) -> AsyncIterator[Docket]:
    url = "memory://insights-series"
    async with Docket(uuid.uuid4().hex, url, history=request.param) as docket:
        yield docket


async def test_what_workers_see_end_is_counted_as_the_history_has_it(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_all(docket)
    async with Worker(docket) as worker:
        await worker.run_until_finished()
    configurations = docket.storage.configurations
    entry = RevisionEntry("d", "text\n", None, "here", "applied")
    for owner in ("ours", "theirs"):
        await configurations.beat(owner, owner, 0, {"owner": owner})
        await configurations.commit(owner, 0, entry, 20, RevisionChange())
    await configurations.beat("odd", "odd", 0, {"owner": 5})
    lately = await docket.insights.series("charge", since=HOUR)
    trips: list[int] = []
    send = Standalone.send

    async def counted(self: Standalone, *commands: Command) -> list[Reply]:
        trips.append(len(commands))
        return await send(self, *commands)

    monkeypatch.setattr(Standalone, "send", counted)
    series = await docket.insights.series(since=datetime.now(timezone.utc) - HOUR)
    trips_of_series = len(trips)
    everything = await docket.insights.series("charge")

    assert trips_of_series <= 3
    assert {one.task: one.total.counts for one in series.tasks} == COUNTS
    assert {one.task: one.stats.counts for one in everything.tasks} == {"charge": COUNTS["charge"]}
    if docket.storage.keys.history:
        told = {one.task: one.counts for one in (await docket.insights.stats()).tasks}
        assert told == COUNTS
    assert lately.tasks[0].total.counts == COUNTS["charge"]
    assert (series.step, everything.step) == (timedelta(minutes=1), HOUR)
    charged = series.tasks[0]
    assert sum(sum(point.counts.values()) for point in charged.points) == 6
    assert 0 < charged.total.seconds < 60
    assert 0 < (charged.stats.p50 or 0) <= (charged.stats.p95 or 0) < 60
    assert [(one.owner, one.revision) for one in series.marks] == [("ours", 1), ("theirs", 1)] or [
        (one.owner, one.revision) for one in series.marks
    ] == [("theirs", 1), ("ours", 1)]
    assert series.since <= charged.points[0].at <= series.until
    future = datetime.now(timezone.utc) + 2 * HOUR
    assert (await docket.insights.series(since=future)).tasks == []


def point(*lengths: int) -> SeriesPoint:
    return SeriesPoint(datetime.now(timezone.utc), {}, 0.0, [*lengths, *[0] * (18 - len(lengths))])


@pytest.mark.parametrize(
    ("one", "half", "most"),
    [
        (point(), None, None),
        (point(4), 0.0005, 0.00095),
        (point(0, 10, 10), 0.005, 0.0095),
        (point(1, *[0] * 16, 1), 0.001, 3600.0),
    ],
)
def test_quantiles_are_estimated_within_the_bounds(
    one: SeriesPoint, half: float | None, most: float | None
) -> None:
    found = one.quantile(0.5), one.quantile(0.95)

    assert found == (half and pytest.approx(half), most and pytest.approx(most))


async def test_a_batch_whose_reply_is_lost_is_sent_again_and_counts_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0]
    ends = RecentEnds(lambda: now[0])
    errors: list[Exception] = []
    add = Series.add

    async def lose(series: Series, consumer: str, number: int, rows: Sequence[Row]) -> bool:
        added = await add(series, consumer, number, rows)
        if errors:
            raise errors.pop()
        return added

    monkeypatch.setattr(Series, "add", lose)
    async with Docket(uuid.uuid4().hex, "memory://insights-series") as docket:
        now[0] = await docket.storage.executions.now()
        report = SeriesReport(docket.storage.series, "w:1", ends)

        async def count(task: str) -> int:
            await report.send()
            found = await docket.insights.series(task)
            return sum(one.total.counts["completed"] for one in found.tasks)

        await report.send()  # nothing has ended
        ends.recorded("lost", "completed", 0.5)
        errors.append(ServerUnavailable("away"))
        assert await count("lost") == 1
        ends.recorded("lost", "completed", None)
        assert await count("lost") == 2

        ends.recorded("refused", "completed", 0.5)
        errors.extend(ServerRefused("NOPERM") for _ in range(2))
        assert [await count("refused") for _ in range(2)] == [1, 1]
        assert caplog.text.count("What has ended is not counted in the series: NOPERM") == 1
        ends.recorded("refused", "completed", 0.5)
        assert await count("refused") == 2

        # What cannot be sent for long is given up, and so are far too many kinds of ends.
        monkeypatch.setattr(recent_ends, "PATIENCE", -1.0)
        ends.recorded("late", "completed", 0.5)
        errors.append(ServerUnavailable("away"))
        assert await count("late") == 1
        assert report._batch == []
        monkeypatch.setattr(recent_ends, "LARGEST", 1)
        for task in ("one", "two"):
            ends.recorded(task, "completed", 0.5)
        assert [row.task for row in ends.take(9)] == ["two"]
