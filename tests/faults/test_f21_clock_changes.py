"""F21: the clocks change: what runs is the truth table, in six zones and by twelve expressions."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import pytest

from docket import Docket
from docket.config.load import parse
from docket.foundation.units import to_milliseconds
from docket.schedules.desired import desired_schedules
from docket.schedules.log import key_of
from docket.schedules.ticker import Ticker
from tests.truth import AROUND, CHANGES, TRUTH, UTC, true_around

CASES = [(zone, change.replace(tzinfo=UTC)) for zone in CHANGES for change in CHANGES[zone]]


@pytest.mark.parametrize(("zone", "change"), CASES, ids=str)
async def test_what_runs_when_clocks_change_equals_the_truth_table(
    zone: str, change: datetime
) -> None:
    text = f'timezone = "{zone}"\n[tasks.t]\nfunction = "m:f"\n' + "".join(
        f'[schedules.s{number}]\ntask = "t"\ncron = "{cron}"\noverlap = "allow"\n'
        for number, cron in enumerate(TRUTH)
    )
    async with Docket(uuid.uuid4().hex, "memory://f21") as docket:
        clock = docket.storage.clock
        await clock.stop()
        moment = change - AROUND - timedelta(seconds=1)
        await clock.move(to_milliseconds(moment))
        ticker = Ticker(docket.storage.schedules, docket.serializer, "owner")
        await ticker.declare(desired_schedules(parse(text).configuration))
        while (moment := min(ticker.next_times.values())) <= change + AROUND:
            await clock.move(to_milliseconds(moment))
            await ticker.fire_due()
        found = sorted(execution.key for execution in (await docket.snapshot()).future)

    assert found == sorted(
        key_of(f"s{number}", due)
        for number, cron in enumerate(TRUTH)
        for due in true_around(cron, zone, change)
    )
    assert not ticker.skipped
