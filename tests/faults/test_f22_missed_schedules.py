"""F22: all is down for ten minutes with a cron of every minute: none, the last or all are made up for."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from docket import Docket
from docket.config.load import parse
from docket.foundation.units import to_milliseconds
from docket.schedules.desired import desired_schedules
from docket.schedules.ticker import Ticker

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
DOWN = timedelta(minutes=10, seconds=30)


@pytest.mark.parametrize(
    ("catchup", "minutes", "skipped"),
    [
        ('"none"', [], {"missed": 10}),
        ('"last"', [10], {"missed": 9}),
        ('"all"', [*range(1, 11)], {}),
        ('"all"\ncatchup_window = "5m"', [*range(6, 11)], {"window": 5}),
        ('"last"\ncatchup_window = "10s"', [], {"missed": 9, "window": 1}),
    ],
)
async def test_what_was_due_while_everything_was_down_is_made_up_for_as_declared(
    catchup: str, minutes: list[int], skipped: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    text = (
        '[tasks.t]\nfunction = "m:f"\n[schedules.s]\ntask = "t"\ncron = "* * * * *"\n'
        f"catchup = {catchup}\n"
    )
    desired = desired_schedules(parse(text).configuration)
    async with Docket(uuid.uuid4().hex, "memory://f22") as docket:
        clock, schedules = docket.storage.clock, docket.storage.schedules
        await clock.stop()
        await clock.move(to_milliseconds(NOON))
        await Ticker(schedules, docket.serializer, "owner").declare(desired)
        await clock.move(to_milliseconds(NOON + DOWN))
        ticker = Ticker(schedules, docket.serializer, "owner")
        with caplog.at_level(logging.WARNING):
            await ticker.declare(desired)
            await ticker.fire_due()
            await ticker.fire_due()

        found = sorted(execution.key for execution in (await docket.snapshot()).future)
        (known,) = await schedules.known()
        assert found == [f"s@2026-03-01T12:{minute:02}:00Z" for minute in minutes]
        assert known.skipped == skipped
        assert {reason: n for reason, n in ticker.skipped.items() if n} == skipped
        assert ("missed" in caplog.text) == bool(skipped)
        assert ticker.next_times == {"s": NOON + timedelta(minutes=11)}
