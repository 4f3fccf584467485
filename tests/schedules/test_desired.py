"""When schedules are due; no Redis and no clock."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from docket.config.load import parse
from docket.schedules import timing
from docket.schedules.desired import (
    MOST_CAUGHT_UP,
    MOST_COUNTED,
    DesiredSchedule,
    Owed,
    desired_schedules,
)
from docket.schedules.timing import EPOCH

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
    period, phase = timedelta(minutes=7), timedelta(seconds=11)
    moment = at("2026-11-23 12:34:56")
    due = timing.every(period, EPOCH + phase)(moment)

    assert due is not None
    assert (due - EPOCH - phase) % period == timedelta()
    assert moment < due <= moment + period
    assert timing.every(period, EPOCH + phase)(due) == due + period


def test_what_was_missed_runs_once_and_at_its_last_due_time() -> None:
    _, often, _ = desired_schedules(parse(TOML).configuration)
    first = at("2026-11-23 12:00:05")

    assert often.owed(first, first) == Owed((first,), at("2026-11-23 12:00:35"), 0)
    assert often.owed(first, at("2026-11-23 12:03:00")) == Owed(
        (at("2026-11-23 12:02:35"),), at("2026-11-23 12:03:05"), 5
    )
    assert often.owed(first, at("2027-11-23 12:00:00")).following == at("2027-11-23 12:00:05")


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

    due = plain.next_after(moment)
    assert due is not None
    assert shifted.next_after(moment + timedelta(seconds=5)) == due + timedelta(seconds=5)


def test_periods_shorter_than_a_second_are_exact() -> None:
    often = timing.every(timedelta(milliseconds=100), EPOCH)
    moment: datetime | None = EPOCH
    for _ in range(10):
        assert moment is not None
        moment = often(moment)

    assert moment == EPOCH + timedelta(seconds=1)


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

    owed = schedule.owed(NOON, now)

    assert owed.runs == (NOON + timedelta(days=30),)
    assert owed.following == NOON + timedelta(days=30, seconds=1)
    assert owed.skipped == MOST_COUNTED + MOST_CAUGHT_UP - 1


@pytest.mark.parametrize(
    ("catchup", "runs"),
    [("none", []), ("last", [11]), ("all", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])],
)
def test_what_was_missed_is_made_up_for_as_the_schedule_says(catchup: str, runs: list[int]) -> None:
    schedule = every("1m", f'catchup = "{catchup}"')
    owed = schedule.owed(NOON, NOON + timedelta(minutes=11, seconds=30))

    assert owed.runs == tuple(NOON + timedelta(minutes=minute) for minute in runs)
    assert owed.following == NOON + timedelta(minutes=12)
    assert owed.skipped == 12 - len(runs)


@pytest.mark.parametrize("catchup", ["none", "last", "all"])
def test_a_run_that_is_on_time_is_not_missed(catchup: str) -> None:
    schedule = every("1m", f'catchup = "{catchup}"')

    assert schedule.owed(NOON, NOON + timedelta(seconds=9)).runs == (NOON,)


def test_what_is_too_late_is_not_made_up_for() -> None:
    schedule = every("1m", 'catchup = "all"\ncatchup_window = "3m"')
    owed = schedule.owed(NOON, NOON + timedelta(minutes=11, seconds=30))

    assert owed.runs == tuple(NOON + timedelta(minutes=minute) for minute in (9, 10, 11))
    assert owed.skipped == 9


def test_defaults_of_schedules_hold_for_those_that_say_nothing() -> None:
    text = (
        '[defaults.schedule]\ncatchup = "all"\n'
        '[schedules.a]\ntask = "note"\nevery = "1m"\n'
        '[schedules.b]\ntask = "note"\nevery = "1m"\ncatchup = "none"\n'
    )

    assert {name: one.catchup for name, one in schedules(text).items()} == {"a": "all", "b": "none"}


def test_a_schedule_with_a_moment_is_due_once() -> None:
    schedule = only('[schedules.s]\ntask = "note"\nat = 2026-03-01T13:00:00+01:00\n')

    assert schedule.next_after(NOON - timedelta(days=9)) == NOON
    assert schedule.next_after(NOON) is None
    assert schedule.owed(NOON, NOON + timedelta(hours=1)) == Owed((NOON,), None, 0)


def test_a_schedule_begins_and_ends() -> None:
    schedule = every("1h", "start = 2026-03-01T10:00:00Z\nend = 2026-03-01T12:00:00Z")

    assert schedule.next_after(NOON - timedelta(days=3)) == NOON - timedelta(hours=2)
    assert schedule.next_after(NOON - timedelta(hours=2)) == NOON - timedelta(hours=1)
    assert schedule.next_after(NOON - timedelta(hours=1)) is None


def test_a_period_can_be_counted_from_a_moment() -> None:
    schedule = every("7h", 'anchor = 2026-03-01T12:30:00Z\nphase = "1m"')

    assert schedule.next_after(NOON) == NOON + timedelta(minutes=31)
    assert schedule.next_after(NOON + timedelta(hours=1)) == NOON + timedelta(hours=7, minutes=31)


def test_jitter_shifts_all_due_times_alike_and_each_schedule_differently() -> None:
    text = "".join(
        f'[schedules.s{number}]\ntask = "note"\nevery = "1h"\njitter = "10m"\n'
        for number in range(20)
    )
    offsets = [one.next_after(NOON) for one in schedules(text).values()]

    assert all(due is not None and NOON <= due < NOON + timedelta(hours=1) for due in offsets)
    assert len(set(offsets)) > 10
    again = [one.next_after(NOON + timedelta(hours=1)) for one in schedules(text).values()]
    assert again == [due and due + timedelta(hours=1) for due in offsets]
    assert every("1h", 'jitter = "0s"').next_after(NOON) == NOON + timedelta(hours=1)


def test_a_schedule_says_what_becomes_of_it_where_clocks_change() -> None:
    text = '[schedules.s]\ntask = "note"\ncron = "30 2 * * *"\ntimezone = "Europe/Paris"\n'
    spring = datetime(2026, 3, 28, 12, tzinfo=timezone.utc)

    assert only(text).next_after(spring) == at("2026-03-29 01:00:00")
    assert only(f'{text}dst = {{ gap = "skip" }}\n').next_after(spring) == at("2026-03-30 00:30:00")


@pytest.mark.parametrize(
    "change",
    [
        'every = "11s"',
        'every = "10s"\nphase = "1s"',
        'every = "10s"\npaused = true',
        'cron = "* * * * *"',
        'every = "10s"\njitter = "9s"',
        'every = "10s"\nstart = 2026-03-01T10:00:00Z',
        'every = "10s"\nend = 2026-03-01T10:00:00Z',
        'every = "10s"\nanchor = 2026-03-01T10:00:00Z',
        "at = 2026-03-01T10:00:00Z",
    ],
)
def test_another_timing_is_another_text(change: str) -> None:
    assert only(f'[schedules.s]\ntask = "note"\n{change}\n').timing != every("10s").timing


def test_the_definition_tells_what_people_should_know() -> None:
    assert json.loads(every("1m", 'notes = "finance"').definition)["notes"] == "finance"


@pytest.mark.parametrize(
    "text",
    [
        'every = "1m"',
        'every = "1m"\nphase = "5s"\njitter = "7s"\nnotes = "for Ann"',
        'every = "1m"\nanchor = 2026-01-01T00:00:00Z\nstart = 2026-02-01T00:00:00Z',
        'every = "1m"\nanchor = "created"\nend = 2027-02-01T00:00:00Z',
        'cron = "H 2 * * *"\ntimezone = "Europe/Paris"\ndst = { gap = "skip" }\npaused = true',
        'at = 2026-03-02T12:00:00Z\ncatchup = "all"\ncatchup_window = "1h"',
        'every = "1m"\noverlap = "allow"\nlimit = 3\npause_on_failure = 2',
        (
            'every = "1m"\nargs = [1, nan, inf, "a", 2026-03-01, 12:00:00]\n'
            '[schedules.s.kwargs]\nx = [{ y = 2026-03-01T12:00:00Z }]\n"$date" = 1'
        ),
    ],
)
def test_the_definition_in_redis_is_all_that_a_schedule_is(text: str) -> None:
    schedule = only(f'[schedules.s]\ntask = "note"\n{text}')

    read = DesiredSchedule.read("s", schedule.definition)

    assert (repr(read.args), read.kwargs) == (repr(schedule.args), schedule.kwargs)
    assert read.definition == schedule.definition
    assert read.timing == schedule.timing
    assert read.next_after(NOON) == schedule.next_after(NOON)


@pytest.mark.parametrize("text", ["{}", "[]", "nonsense", '{"task": "t", "args": 1}'])
def test_what_is_no_definition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected the definition of a schedule"):
        DesiredSchedule.read("s", text)
