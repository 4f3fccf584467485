"""When schedules are due; no Redis and no clock."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from docket.config.load import parse
from docket.schedules.desired import (
    EPOCH,
    DesiredSchedule,
    desired_schedules,
    next_multiple,
)

TOML = """
name = "orders"
timezone = "Europe/Paris"
[tasks.t]
function = "m:f"
[schedules.nightly]
task = "t"
cron = "30 2 * * *"
[schedules.often]
task = "t"
args = [1]
kwargs = { a = "b" }
every = "30s"
phase = "5s"
[schedules.asleep]
task = "t"
every = "1h"
paused = true
"""


NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def schedules(text: str, name: str = "shop") -> dict[str, DesiredSchedule]:
    """The schedules of a docket with one task."""
    content = f'name = "{name}"\n[tasks.note]\nfunction = "work:note"\n{text}'
    found = desired_schedules(parse(content).configuration)
    return {schedule.name: schedule for schedule in found}


def only(text: str, name: str = "shop") -> DesiredSchedule:
    (schedule,) = schedules(text, name).values()
    return schedule


def every(period: str, more: str = "") -> DesiredSchedule:
    return only(f'[schedules.s]\ntask = "note"\nevery = "{period}"\n{more}')


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def test_a_configuration_declares_schedules() -> None:
    nightly, often, asleep = desired_schedules(parse(TOML).configuration)

    assert nightly.next_after(at("2026-11-23 12:00:00")) == at("2026-11-24 01:30:00")
    assert often.next_after(at("2026-11-23 12:00:00")) == at("2026-11-23 12:00:05")
    assert often.next_after(at("2026-11-23 12:00:05")) == at("2026-11-23 12:00:35")
    assert (often.name, often.task, often.args, often.kwargs) == ("often", "t", (1,), {"a": "b"})
    assert [schedule.paused for schedule in (nightly, often, asleep)] == [False, False, True]


def test_only_what_decides_when_it_is_due_is_its_timing() -> None:
    before = desired_schedules(parse(TOML).configuration)
    other_arguments = desired_schedules(
        parse(TOML.replace("args = [1]", "args = [2]")).configuration
    )
    other_zone = desired_schedules(parse(TOML.replace("Paris", "Berlin")).configuration)

    assert [s.timing for s in before] == [s.timing for s in other_arguments]
    assert [s.timing == o.timing for s, o in zip(before, other_zone, strict=True)] == [
        False,
        True,
        True,
    ]
    assert before[1].definition != before[2].definition


def test_a_period_is_anchored_so_that_nothing_shifts_it() -> None:
    every, phase = timedelta(minutes=7), timedelta(seconds=11)
    moment = at("2026-11-23 12:34:56")
    due = next_multiple(moment, every, phase)

    assert (due - EPOCH - phase) % every == timedelta()
    assert moment < due <= moment + every
    assert next_multiple(due, every, phase) == due + every


def test_what_was_missed_runs_once_and_at_its_last_due_time() -> None:
    _, often, _ = desired_schedules(parse(TOML).configuration)
    first = at("2026-11-23 12:00:05")

    assert often.latest_until(first, first) == (first, at("2026-11-23 12:00:35"))
    assert often.latest_until(first, at("2026-11-23 12:03:00")) == (
        at("2026-11-23 12:02:35"),
        at("2026-11-23 12:03:05"),
    )
    _, following = often.latest_until(first, at("2027-11-23 12:00:00"))
    assert following == at("2027-11-23 12:00:05")


def test_a_docket_without_schedules_desires_none() -> None:
    assert schedules("") == {}


@pytest.mark.parametrize("seconds", [0, 0.001, 3, 6.999])
def test_a_period_is_counted_from_1970_whenever_it_is_looked_at(seconds: float) -> None:
    start = EPOCH + timedelta(seconds=7 * 1_000_000)

    assert every("7s").next_after(start + timedelta(seconds=seconds)) == start + timedelta(
        seconds=7
    )


def test_a_due_time_is_always_after_the_moment_that_is_asked_about() -> None:
    schedule = every("10s")

    assert schedule.next_after(NOON) == NOON + timedelta(seconds=10)


@pytest.mark.parametrize("year", [1969, 1970, 2026, 2199])
def test_a_phase_shifts_all_due_times_alike(year: int) -> None:
    moment = datetime(year, 7, 1, tzinfo=timezone.utc)
    plain, shifted = every("15s"), every("15s", 'phase = "5s"')

    assert shifted.next_after(moment + timedelta(seconds=5)) == plain.next_after(
        moment
    ) + timedelta(seconds=5)


def test_periods_shorter_than_a_second_are_exact() -> None:
    moments = [EPOCH]
    for _ in range(10):
        moments.append(next_multiple(moments[-1], timedelta(milliseconds=100), timedelta()))

    assert moments[-1] == EPOCH + timedelta(seconds=1)


def test_a_cron_expression_is_read_in_its_own_zone() -> None:
    schedule = only(
        '[schedules.s]\ntask = "note"\ncron = "30 2 * * *"\ntimezone = "Europe/Paris"\n'
    )

    assert schedule.next_after(NOON) == datetime(2026, 3, 2, 1, 30, tzinfo=timezone.utc)


def test_hashed_fields_spread_by_the_names_of_docket_and_schedule_and_stay() -> None:
    text = "".join(
        f'[schedules.s{number}]\ntask = "note"\ncron = "H H * * *"\n' for number in range(20)
    )
    first, again, other = (
        [schedule.next_after(NOON) for schedule in schedules(text, name).values()]
        for name in ("shop", "shop", "depot")
    )

    assert first == again
    assert len(set(first)) > 10
    assert first != other


def test_very_many_missed_due_times_are_jumped_over_without_walking_them_all() -> None:
    schedule = every("1s")
    now = NOON + timedelta(days=30, milliseconds=1)

    latest, following = schedule.latest_until(NOON, now)

    assert following == NOON + timedelta(days=30, seconds=1)
    assert latest == NOON + timedelta(days=30)


@pytest.mark.parametrize(
    "change",
    [
        'every = "11s"',
        'every = "10s"\nphase = "1s"',
        'every = "10s"\npaused = true',
        'cron = "* * * * *"',
    ],
)
def test_another_timing_is_another_text(change: str) -> None:
    assert only(f'[schedules.s]\ntask = "note"\n{change}\n').timing != every("10s").timing


def test_the_definition_tells_what_it_is() -> None:
    assert json.loads(every("1m").definition) == {
        "task": "note",
        "timing": {"every": 60.0, "phase": 0.0, "paused": False},
    }
