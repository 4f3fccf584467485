"""What is due becomes an execution, each due time once."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from docket import Docket
from docket.config.load import parse
from docket.errors import DocketError
from docket.foundation.units import to_milliseconds
from docket.schedules.desired import DesiredSchedule, desired_schedules
from docket.schedules.reconciler import reconcile
from docket.schedules.ticker import TOGETHER, Ticker
from docket.storage.schedules import DueTime, Tick


def declared(every: str = "100ms", **settings: str) -> tuple[DesiredSchedule, ...]:
    lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
    text = f'[tasks.t]\nfunction = "m:f"\n[schedules.s]\ntask = "t"\nevery = "{every}"\n{lines}'
    return desired_schedules(parse(text).configuration)


@pytest.fixture
async def docket() -> AsyncIterator[Docket]:
    async with Docket(uuid.uuid4().hex, "memory://ticker") as docket:
        yield docket


def ticker_of(docket: Docket, owner: str = "owner") -> Ticker:
    return Ticker(docket.storage.schedules, docket.serializer, owner)


async def keys(docket: Docket) -> list[str]:
    return [execution.key for execution in (await docket.snapshot()).future]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def ticks(docket: Docket, count: int) -> bool:
    return len(await keys(docket)) >= count


async def test_every_due_time_is_one_execution_whatever_number_of_tickers_there_are(
    docket: Docket,
) -> None:
    tickers = [ticker_of(docket) for _ in range(3)]
    for ticker in tickers:
        # On a busy machine some are late: all of them are made up for.
        await ticker.declare(declared(kwargs="{ a = 1 }", catchup='"all"', overlap='"allow"'))
        await ticker.start()
    await until(lambda: ticks(docket, 5))
    for ticker in tickers:
        await ticker.stop()

    found = await keys(docket)
    moments = sorted(
        datetime.fromisoformat(key.removeprefix("s@").replace("Z", "+00:00")) for key in found
    )
    assert len(set(moments)) == len(found)
    assert all(
        later - earlier == timedelta(milliseconds=100)
        for earlier, later in itertools.pairwise(moments)
    )
    execution = (await docket.snapshot()).future[0]
    assert (execution.function_name, execution.kwargs) == ("t", {"a": 1})


async def test_what_is_taken_away_while_others_fire_is_left_alone(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docket.schedules.ticker.TOGETHER", 1)
    ticker = ticker_of(docket)
    first = declared()[0]
    schedules = [replace(first, name=name) for name in ("a", "b", "c")]
    await ticker.declare(schedules)
    ticker.next_times |= {"b": ticker.next_times["a"], "c": ticker.next_times["a"]}
    tick = ticker._schedules.tick

    async def meanwhile(*due_times: DueTime) -> list[Tick | DocketError]:
        # A reload comes between two due times: one is declared no longer, and another one is paused.
        ticker.follow(schedules[:2], {"a": ticker.next_times["a"]})
        return await tick(*due_times)

    monkeypatch.setattr(ticker._schedules, "tick", meanwhile)

    async def has_fired() -> bool:
        await ticker.fire_due()
        return bool(await keys(docket))

    await until(has_fired)
    assert {key.partition("@")[0] for key in await keys(docket)} == {"a"}


async def test_hundreds_that_are_due_in_one_moment_are_fired_in_few_round_trips(
    docket: Docket,
) -> None:
    ticker = ticker_of(docket)
    (first,) = declared("1s")
    await ticker.declare([replace(first, name=f"s{number}") for number in range(2 * TOGETHER + 1)])
    (moment,) = set(ticker.next_times.values())
    await until(lambda: _is_past(docket, moment))
    asked: list[int] = []
    tick = ticker._schedules.tick

    async def counted(*due_times: DueTime) -> list[Tick | DocketError]:
        asked.append(len(due_times))
        return await tick(*due_times)

    ticker._schedules.tick = counted  # type: ignore[method-assign]
    await ticker.fire_due()

    assert asked == [TOGETHER, TOGETHER, 1]
    assert len({key.partition("@")[0] for key in await keys(docket)}) == 2 * TOGETHER + 1


async def test_a_record_that_is_bad_keeps_no_other_schedule_from_being_fired(
    docket: Docket,
) -> None:
    ticker = ticker_of(docket)
    (first,) = declared("1s")
    await ticker.declare([replace(first, name=name) for name in ("a", "b", "c")])
    (moment,) = set(ticker.next_times.values())
    async with docket.redis() as client:
        await client.set(docket.key("schedule:owner/b"), "no hash")
    await until(lambda: _is_past(docket, moment))

    with pytest.raises(DocketError, match="WRONGTYPE"):
        await ticker.fire_due()

    assert {key.partition("@")[0] for key in await keys(docket)} == {"a", "c"}
    assert {name for name, due in ticker.next_times.items() if due > moment} == {"a", "c"}


async def _is_past(docket: Docket, moment: datetime) -> bool:
    return await docket.storage.schedules.now() > to_milliseconds(moment)


async def test_a_schedule_that_is_unchanged_is_not_moved(docket: Docket) -> None:
    first = await reconcile(docket.storage.schedules, "owner", declared("1h"))
    again = await reconcile(docket.storage.schedules, "owner", declared("1h", args="[1]"))
    other = await reconcile(docket.storage.schedules, "owner", declared("1h", phase='"30m"'))

    assert first == again
    assert (first["s"].minute, other["s"].minute) == (0, 30)


async def test_a_paused_schedule_is_never_due_and_goes_on_when_it_is_resumed(
    docket: Docket,
) -> None:
    assert await reconcile(docket.storage.schedules, "owner", declared("1h", paused="true")) == {}
    assert set(await reconcile(docket.storage.schedules, "owner", declared("1h"))) == {"s"}


async def test_what_is_not_declared_any_more_is_gone_and_others_schedules_stay(
    docket: Docket,
) -> None:
    for owner in ("one", "two"):
        await reconcile(docket.storage.schedules, owner, declared("1h"))
    await reconcile(docket.storage.schedules, "one", ())

    async with docket.redis() as client:
        fields: Any = await client.hkeys(docket.key("schedules"))
    assert {field.decode() for field in fields} == {
        "definition:two/s",
        "timing:two/s",
        "next:two/s",
        "of:two/s",
    }


async def test_what_was_missed_is_made_up_for_once(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    ticker = ticker_of(docket)
    await ticker.declare(declared("1h"))
    now = datetime.now(timezone.utc)
    long_ago = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
    ticker.next_times["s"] = long_ago
    async with docket.redis() as client:
        await client.hset(docket.key("schedules"), "next:owner/s", int(long_ago.timestamp() * 1000))
    await ticker.start()
    await until(lambda: ticks(docket, 1))
    await ticker.stop()

    assert await keys(docket) == [f"s@{long_ago + timedelta(hours=5):%Y-%m-%dT%H:%M:%SZ}"]
    assert ticker.skipped["missed"] == 5
    assert "only the run of" in caplog.text


async def _missed(docket: Docket, catchup: str, hours: int) -> Ticker:
    """A ticker that comes back after some hours."""
    ticker = ticker_of(docket)
    await ticker.declare(declared("1h", catchup=f'"{catchup}"'))
    now = datetime.now(timezone.utc)
    long_ago = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours)
    ticker.next_times["s"] = long_ago
    async with docket.redis() as client:
        await client.hset(docket.key("schedules"), "next:owner/s", int(long_ago.timestamp() * 1000))
    await ticker.start()
    await until(lambda: _is_up_to_date(ticker))
    await ticker.stop()
    return ticker


async def _is_up_to_date(ticker: Ticker) -> bool:
    return ticker.next_times["s"] > datetime.now(timezone.utc)


async def test_all_that_was_missed_can_be_made_up_for(docket: Docket) -> None:
    ticker = await _missed(docket, "all", 4)

    found = await keys(docket)
    assert len(set(found)) == len(found) == 5
    assert ticker.skipped["missed"] == 0


async def test_nothing_that_was_missed_needs_to_be_made_up_for(docket: Docket) -> None:
    ticker = await _missed(docket, "none", 4)

    # In the first seconds of an hour its run is on time.
    assert ticker.skipped["missed"] + len(await keys(docket)) == 5


async def test_a_schedule_with_a_moment_runs_once_ever(docket: Docket) -> None:
    due = datetime.now(timezone.utc) + timedelta(seconds=1)
    text = f'[tasks.t]\nfunction = "m:f"\n[schedules.s]\ntask = "t"\nat = {due.isoformat()}\n'
    ticker = ticker_of(docket)
    await ticker.declare(desired_schedules(parse(text).configuration))
    await ticker.start()
    await until(lambda: ticks(docket, 1))
    await ticker.declare(desired_schedules(parse(text).configuration))
    await ticker.stop()

    assert ticker.next_times == {}
    assert len(await keys(docket)) == 1


async def test_a_schedule_that_was_renamed_goes_on_where_it_stopped(docket: Docket) -> None:
    schedules = docket.storage.schedules
    await reconcile(schedules, "owner", declared("1h"))
    async with docket.redis() as client:
        moment = int(datetime.now(timezone.utc).timestamp() * 1000) + 5000
        await client.hset(docket.key("schedules"), "next:owner/s", moment)
    text = '[tasks.t]\nfunction = "m:f"\n[schedules.new]\ntask = "t"\nevery = "1h"\nrenamed_from = "s"\n'
    renamed = desired_schedules(parse(text).configuration)
    first = await reconcile(schedules, "owner", renamed)
    again = await reconcile(schedules, "owner", renamed)

    assert first == again
    assert int(first["new"].timestamp() * 1000) == moment
    async with docket.redis() as client:
        fields: list[bytes] = list(await client.hgetall(docket.key("schedules")))  # type: ignore[arg-type]
    assert not [field for field in fields if bytes(field).endswith(b"/s")]


async def test_a_struck_schedule_makes_no_execution_and_goes_on(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    await docket.strike("t")
    ticker = ticker_of(docket)
    await ticker.declare(declared())
    before = ticker.next_times["s"]
    await ticker.start()
    await until(lambda: _moved(ticker, before))
    await ticker.stop()

    assert await keys(docket) == []
    assert "a strike forbids it" in caplog.text
    assert ticker.skipped["struck"] >= 1


async def _moved(ticker: Ticker, before: datetime) -> bool:
    return ticker.next_times["s"] > before


async def test_what_is_withdrawn_while_it_is_ticked_is_not_expected_again(
    docket: Docket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticker = ticker_of(docket)
    await ticker.declare(declared(kwargs="{ a = 1 }"))
    ticked = asyncio.Event()
    tick = docket.storage.schedules.tick

    async def withdrawn_meanwhile(*due_times: DueTime) -> list[Tick | DocketError]:
        ticker.follow((), {})
        told = await tick(*due_times)
        ticked.set()
        return told

    monkeypatch.setattr(docket.storage.schedules, "tick", withdrawn_meanwhile)
    await ticker.start()
    await asyncio.wait_for(ticked.wait(), 60)
    await ticker.stop()

    assert ticker.next_times == {}


async def test_arguments_that_can_not_be_stored_are_told_of(
    docket: Docket, caplog: pytest.LogCaptureFixture
) -> None:
    ticker = ticker_of(docket)
    ticker.serializer = Docket("other", "memory://ticker", max_payload=1).serializer
    await ticker.declare(declared())
    before = ticker.next_times["s"]
    await ticker.start()
    await until(lambda: _moved(ticker, before))
    await ticker.stop()

    assert "Schedule s cannot run" in caplog.text


async def test_a_schedule_that_somebody_else_removed_is_not_due_any_more(docket: Docket) -> None:
    ticker = ticker_of(docket)
    await ticker.declare(declared())
    await reconcile(docket.storage.schedules, "owner", ())
    await ticker.start()
    await until(lambda: _forgot(ticker))
    await ticker.stop()

    assert await keys(docket) == []


async def _forgot(ticker: Ticker) -> bool:
    return "s" not in ticker.next_times
