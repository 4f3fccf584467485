"""When schedules are due; no Redis and no clock."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from docket.config.load import parse
from docket.schedules.desired import EPOCH, desired_schedules, next_multiple

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
