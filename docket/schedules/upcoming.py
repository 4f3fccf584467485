"""The next due times of a schedule, each with its reason; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from ..foundation.cron import exact_zone
from .codec import expression_of
from .desired import DesiredSchedule
from .timing import NextAfter


@dataclass(frozen=True, slots=True)
class Due:
    """A due time.

    Arguments:
        moment: when it is, on the clock of the schedule.
        note: what a change of the clocks means for it, and how far jitter has moved it.
    """

    moment: datetime
    note: str


def upcoming(
    schedule: DesiredSchedule, after: datetime, first: datetime | None, count: int
) -> list[Due]:
    """Return the next due times.

    One that is counted from the end of its run has one at most.

    Arguments:
        schedule: the schedule.
        after: the moment from which on they are counted.
        first: the first of them; None if there is none.
        count: how many.
    """
    if first is None:
        return []
    due = (
        [first]
        if schedule.anchor == "finish"
        else [*islice(_from(schedule.on_the_grid_of(first), first), count)]
    )
    zone = exact_zone(schedule.times.get("timezone", "UTC"))
    befores = [after, *due]
    return [
        Due(moment.astimezone(zone), _note(schedule, before, moment))
        for before, moment in zip(befores, due, strict=False)
    ]


def between(schedule: DesiredSchedule, start: datetime, end: datetime, most: int) -> list[datetime]:
    """Return the due times from one moment on and before another, the earliest first.

    Arguments:
        schedule: the schedule.
        start, end: the moments.
        most: where counting ends.
    """
    found: list[datetime] = []
    due = schedule.next_after(start - timedelta(microseconds=1))
    while due is not None and due < end and len(found) < most:
        found.append(due)
        due = schedule.next_after(due)
    return found


def _from(next_after: NextAfter, first: datetime) -> Iterator[datetime]:
    due: datetime | None = first
    while due is not None:
        yield due
        due = next_after(due)


def _note(schedule: DesiredSchedule, before: datetime, due: datetime) -> str:
    jitter = timedelta(seconds=schedule.times.get("jitter", 0))
    told = [f"{jitter.total_seconds():g}s of jitter"] if jitter else []
    if "cron" in schedule.times:
        expression = expression_of(schedule.times, schedule.seed)
        if clocks := expression.explain(before - jitter, due - jitter):
            told.append(clocks)
    return "; ".join(told)
