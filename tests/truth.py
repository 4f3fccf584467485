"""The truth about clock changes: six zones and twelve expressions, said independently of any parser.

``python -m tests.truth`` writes ``docs/dst.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from docket.foundation.cron import Gap, Overlap

UTC = timezone.utc
MINUTE = timedelta(minutes=1)
PAGE = Path(__file__).parents[1] / "docs" / "dst.md"


class Times(NamedTuple):
    """What an expression of the truth table means, said independently of any parser."""

    minutes: set[int]
    hours: set[int]
    weekdays: set[int]
    is_wild: bool

    def includes(self, wall: datetime) -> bool:
        return (
            wall.minute in self.minutes
            and wall.hour in self.hours
            and wall.isoweekday() % 7 in self.weekdays
        )


HOURS, WEEK = set(range(24)), set(range(7))
TRUTH: dict[str, Times] = {
    "30 2 * * *": Times({30}, {2}, WEEK, False),
    "0 2 * * *": Times({0}, {2}, WEEK, False),
    "0 3 * * *": Times({0}, {3}, WEEK, False),
    "15 1 * * *": Times({15}, {1}, WEEK, False),
    "@daily": Times({0}, {0}, WEEK, False),
    "30 0,23 * * *": Times({30}, {0, 23}, WEEK, False),
    "*/10 2 * * *": Times(set(range(0, 60, 10)), {2}, WEEK, False),
    "0,45 1-3 * * SUN": Times({0, 45}, {1, 2, 3}, {0}, False),
    "0 * * * *": Times({0}, HOURS, WEEK, True),
    "*/15 * * * *": Times({0, 15, 30, 45}, HOURS, WEEK, True),
    "0 */2 * * *": Times({0}, set(range(0, 24, 2)), WEEK, True),
    "20 1/3 * * 0,6": Times({20}, set(range(1, 24, 3)), {0, 6}, True),
}
CHANGES = {
    "America/New_York": (datetime(2026, 3, 8, 7), datetime(2026, 11, 1, 6)),
    "Europe/Paris": (datetime(2026, 3, 29, 1), datetime(2026, 10, 25, 1)),
    "Australia/Lord_Howe": (datetime(2026, 10, 3, 15, 30), datetime(2026, 4, 4, 15)),
    "America/Santiago": (datetime(2026, 9, 6, 4), datetime(2026, 4, 5, 3)),
    "Africa/Casablanca": (datetime(2026, 3, 22, 2), datetime(2026, 2, 15, 2)),
    "Europe/Dublin": (datetime(2026, 3, 29, 1), datetime(2026, 10, 25, 1)),
}


class Shown(NamedTuple):
    """A minute, as a clock on the wall shows it."""

    moment: datetime
    wall: datetime
    is_second: bool
    jumped_over: tuple[datetime, ...]


@lru_cache
def shown_minutes(zone: ZoneInfo, start: datetime, end: datetime) -> tuple[Shown, ...]:
    """Every minute after one moment, up to another."""
    minutes: list[Shown] = []
    before = start.astimezone(zone).replace(tzinfo=None)
    while start < end:
        start += MINUTE
        local = start.astimezone(zone)
        wall = local.replace(tzinfo=None, fold=0)
        jumped_over = (before + n * MINUTE for n in range(1, int((wall - before) / MINUTE)))
        minutes.append(Shown(start, wall, bool(local.fold), tuple(jumped_over)))
        before = wall
    return tuple(minutes)


def minute_by_minute(
    times: Times, zone: ZoneInfo, start: datetime, end: datetime, gap: Gap, overlap: Overlap
) -> Iterator[datetime]:
    """The due times of a clock that is looked at every minute."""
    for shown in shown_minutes(zone, start, end):
        is_made_up_for = gap == "shift" and any(map(times.includes, shown.jumped_over))
        is_due = times.includes(shown.wall) and (overlap == "both" or not shown.is_second)
        if is_due or is_made_up_for:
            yield shown.moment


AROUND = timedelta(minutes=90)
"""How long before and after a change the page shows what is due."""

INTRODUCTION = """\
# When clocks change

A cron expression speaks of the clock on the wall. Twice a year that clock jumps in many places: some times
of day do not exist on that day, others exist twice. A schedule is due by this rule, unless its `dst` says
otherwise:

| The hours of the expression | a time that does not exist (`gap`) | a time that exists twice (`overlap`) |
|---|---|---|
| fixed, such as `30 2 * * *` | `shift`: once, at the first moment after | `first`: at the first of the two |
| `*` or steps, such as `0 */2 * * *` | `skip`: it follows the time that really passes | `both`: the same |

So a job of every night runs every night once, and a job of every hour runs after every hour that has
passed. `every` and `at` do not look at the wall at all. What is due is always a moment in UTC; `docket
schedule next NAME -n 10 --explain` shows it for a schedule of yours:

```toml
[tasks.report]
function = "reports:write"

[schedules.nightly]
task = "report"
cron = "30 2 * * *"
timezone = "Europe/Paris"
dst = { gap = "skip", overlap = "both" }     # left out: shift and first
```

The tables show what is due from 90 minutes before each change to 90 minutes after it, on the wall clock
there; `→` is the change. They are written by the test that proves them, from a clock that is looked at
every minute and knows nothing of cron.
"""


def true_around(text: str, zone: str, change: datetime) -> list[datetime]:
    """What is due around a change in truth."""
    is_wild = TRUTH[text].is_wild
    start, end = change - AROUND - MINUTE, change + AROUND
    rule: tuple[Gap, Overlap] = ("skip", "both") if is_wild else ("shift", "first")
    return [*minute_by_minute(TRUTH[text], ZoneInfo(zone), start, end, *rule)]


def page() -> str:
    """The page of the truth."""
    return "\n".join([INTRODUCTION, *map(_of_zone, CHANGES)])


def _of_zone(zone: str) -> str:
    changes = sorted(change.replace(tzinfo=UTC) for change in CHANGES[zone])
    titles = [_title(zone, change) for change in changes]
    rows = (
        f"| `{text}` | {' | '.join(_cell(text, zone, change) for change in changes)} |"
        for text in TRUTH
    )
    head = [f"## {zone}", "", f"| Expression | {' | '.join(titles)} |", "|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def _title(zone: str, change: datetime) -> str:
    before = (change - timedelta(seconds=1)).astimezone(ZoneInfo(zone)) + timedelta(seconds=1)
    after = change.astimezone(ZoneInfo(zone))
    return f"{before:%Y-%m-%d}: {before:%H:%M} becomes {after:%H:%M}"


def _cell(text: str, zone: str, change: datetime) -> str:
    due = true_around(text, zone, change)
    walls = [f"{moment.astimezone(ZoneInfo(zone)):%H:%M}" for moment in due]
    count = sum(moment < change for moment in due)
    return " ".join([*walls[:count], "→", *walls[count:]])


if __name__ == "__main__":
    PAGE.write_text(page())
