"""Runs of a schedule have the options that it declares."""

from __future__ import annotations

from datetime import timedelta

import pytest

from docket.schedules.desired import DesiredSchedule

from .conftest import MINUTE, NOON, Host, declared

OPTIONS = 'queue = "bulk"\npriority = "low"\nexpires = "2m"\ntimeout = "9s"\ntags = ["a"]\n'
TEXT = f'[schedules.s]\nevery = "1m"\n{OPTIONS}'


@pytest.mark.parametrize("way", ["due", "triggered", "backfilled"])
async def test_its_runs_have_its_options(host: Host, way: str) -> None:
    await host.declare(TEXT)
    await host.sleep(MINUTE)
    entry = await host.timetable.find("s")
    if way == "due":
        await host.ticker.fire_due()
    elif way == "triggered":
        await host.timetable.trigger(entry)
    else:
        await host.timetable.backfill(entry, NOON, NOON + 2 * MINUTE)

    (record, *_) = [one async for one in host.docket.storage.executions.due(["bulk/low"])]
    execution = await host.docket.get_execution(record.key)

    assert execution is not None
    assert (execution.queue, execution.tags) == ("bulk/low", ("a",))
    assert execution.options.timeout == timedelta(seconds=9)
    expires = execution.options.expires
    assert expires == (NOON + 3 * MINUTE if way == "due" else 2 * MINUTE)


def test_they_are_a_part_of_its_definition() -> None:
    (schedule,) = declared(TEXT)
    (bare,) = declared('[schedules.s]\nevery = "1m"\n')

    assert DesiredSchedule.read("s", schedule.definition).options == schedule.options
    assert "options" not in bare.definition
    assert DesiredSchedule.read("s", bare.definition).options_at(NOON) == bare.options
