"""When a schedule will be due, and why just then."""

from __future__ import annotations

from datetime import datetime, timezone

from docket.foundation.cron import CronExpression, exact_zone
from docket.schedules.desired import DesiredSchedule
from docket.schedules.upcoming import Due, upcoming

from .conftest import NOON, declared

BEFORE_SPRING = datetime(2026, 3, 27, 12, tzinfo=timezone.utc)
BEFORE_AUTUMN = datetime(2026, 10, 24, 12, tzinfo=timezone.utc)


def only(text: str) -> DesiredSchedule:
    (schedule,) = declared(f"[schedules.s]\n{text}\n")
    return schedule


def due(text: str, after: datetime, count: int = 3) -> list[Due]:
    schedule = only(text)
    return upcoming(schedule, after, schedule.next_after(after), count)


def notes(text: str, after: datetime) -> list[tuple[str, str]]:
    return [(f"{one.moment:%d %H:%M}", one.note) for one in due(text, after)]


def test_a_due_time_is_told_on_the_clock_of_its_schedule() -> None:
    (first, *_) = due('cron = "0 2 * * *"\ntimezone = "Asia/Tokyo"', NOON)

    assert first.moment.isoformat() == "2026-03-02T02:00:00+09:00"


def test_what_the_clocks_jump_over_is_explained() -> None:
    assert notes('cron = "30 2 * * *"\ntimezone = "Europe/Paris"', BEFORE_SPRING) == [
        ("28 02:30", ""),
        ("29 03:00", "the clocks jump from 02:00 to 03:00: 02:30 is made up for at once"),
        ("30 02:30", ""),
    ]


def test_what_is_left_out_is_explained_at_the_due_time_after_it() -> None:
    text = 'cron = "30 2 * * *"\ntimezone = "Europe/Paris"\ndst = { gap = "skip" }'

    assert notes(text, BEFORE_SPRING)[1] == (
        "30 02:30",
        "the clocks jump from 02:00 to 03:00: 02:30 is left out",
    )


def test_between_two_moments_with_nothing_odd_there_is_nothing_to_explain() -> None:
    daily = CronExpression("30 2 * * *", exact_zone("Europe/Paris"))
    first, _, third = daily.upcoming(NOON, 3)

    assert daily.explain(first, third) == ""


def test_what_the_clocks_show_twice_is_explained() -> None:
    once = 'cron = "30 2 * * *"\ntimezone = "Europe/Paris"'
    both = once + '\ndst = { overlap = "both" }'
    twice = "the clocks show 02:30 twice: this is the"

    assert notes(once, BEFORE_AUTUMN)[0] == (
        "25 02:30",
        f"{twice} first time, and only this one counts",
    )
    assert notes(both, BEFORE_AUTUMN)[:2] == [
        ("25 02:30", f"{twice} first time"),
        ("25 02:30", f"{twice} second time"),
    ]


def test_jitter_is_told() -> None:
    (one, *_) = due('every = "1h"\njitter = "10m"', NOON)

    assert one.note == f"{(one.moment - NOON).total_seconds():g}s of jitter"


def test_one_that_ends_has_no_more_due_times() -> None:
    assert len(due('every = "1h"\nend = 2026-03-01T14:30:00Z', NOON, 5)) == 2
    assert due("at = 2026-03-01T11:00:00Z", NOON) == []
