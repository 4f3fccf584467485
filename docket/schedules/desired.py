"""What schedules should exist and when they are due; pure: it needs neither Redis nor a clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from ..config.model import Configuration
from ..config.tables.schedules import Schedule, schedule_seed
from ..cron import CronExpression, exact_zone
from .timing import EPOCH, NextAfter, delayed, every, jitter_of, latest, once, within

MOST_CAUGHT_UP = 100
"""Runs that are made up for at most, where all of them shall be."""

PUNCTUAL = timedelta(seconds=10)
"""Up to so late a run counts as one that is on time: nothing was missed."""


@dataclass(frozen=True)
class Owed:
    """What is to be done about due times that have come.

    Arguments:
        runs: the due times to run, the earliest first; the last one may be all there is.
        following: the next due time; None if there is none.
        skipped: how many due times pass without a run.
    """

    runs: tuple[datetime, ...]
    following: datetime | None
    skipped: int


@dataclass(frozen=True)
class DesiredSchedule:
    """One schedule that should exist.

    Arguments:
        name: what it is known by within its owner.
        task: the task that it runs.
        args, kwargs: its arguments.
        timing: what decides when it is due, as text; the same text means the same due times.
        next_after: the first due time after a moment.
        paused: whether no runs are due.
        catchup: which of the runs that were missed are made up for.
        catchup_window: how late a run may be to be made up for; None is without a limit.
        renamed_from: the name that it had before, whose state it takes over.
        notes: what people should know about it.
    """

    name: str
    task: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    timing: str
    next_after: NextAfter
    paused: bool = False
    catchup: Literal["none", "last", "all"] = "last"
    catchup_window: timedelta | None = None
    renamed_from: str | None = None
    notes: str | None = None

    @property
    def definition(self) -> str:
        """What it is, for those who look at it in Redis."""
        about = {"task": self.task, "timing": json.loads(self.timing)}
        if self.notes is not None:
            about["notes"] = self.notes
        return json.dumps(about, sort_keys=True)

    def owed(self, expected: datetime, now: datetime) -> Owed:
        """What is to be done now.

        Arguments:
            expected: the due time that is next in force; it is not after now.
            now: the moment.
        """
        come = latest(self.next_after, expected, now, MOST_CAUGHT_UP)
        following = self.next_after(come[-1])
        wanted = come if self.catchup == "all" else come[-1:]
        longest = PUNCTUAL if self.catchup == "none" else self.catchup_window
        # However late, what is just due now is not missed.
        runs = tuple(
            due for due in wanted if longest is None or now - due <= max(longest, PUNCTUAL)
        )
        return Owed(runs, following, len(come) - len(runs))


def desired_schedules(configuration: Configuration) -> tuple[DesiredSchedule, ...]:
    """The schedules that a configuration declares."""
    return tuple(
        _desired(configuration, name, schedule)
        for name, schedule in configuration.schedules.items()
    )


def _desired(configuration: Configuration, name: str, schedule: Schedule) -> DesiredSchedule:
    seed = schedule_seed(configuration.name, name)
    timing, next_after = _timing(configuration, schedule, seed)
    if schedule.jitter:
        pause = jitter_of(seed, schedule.jitter)
        timing["jitter"] = pause.total_seconds()
        next_after = delayed(next_after, pause)
    for key in ("start", "end"):
        if (moment := getattr(schedule, key)) is not None:
            timing[key] = moment.isoformat()
    return DesiredSchedule(
        name=name,
        task=schedule.task,
        args=tuple(schedule.args),
        kwargs=schedule.kwargs,
        timing=json.dumps({**timing, "paused": schedule.paused}, sort_keys=True),
        next_after=within(next_after, schedule.start, schedule.end),
        paused=schedule.paused,
        catchup=schedule.catchup,
        catchup_window=schedule.catchup_window,
        renamed_from=schedule.renamed_from,
        notes=schedule.notes,
    )


def _timing(
    configuration: Configuration, schedule: Schedule, seed: str
) -> tuple[dict[str, Any], NextAfter]:
    if schedule.at is not None:
        return {"at": schedule.at.isoformat()}, once(schedule.at)
    if schedule.cron is not None:
        zone = schedule.timezone or configuration.timezone
        dst = schedule.dst
        expression = CronExpression(
            schedule.cron,
            exact_zone(zone),
            gap=None if dst is None else dst.gap,
            overlap=None if dst is None else dst.overlap,
            seed=seed,
        )
        told = {} if dst is None else {"dst": dst.model_dump(exclude_none=True)}
        return {"cron": schedule.cron, "timezone": zone, **told}, expression.next_after
    assert schedule.every is not None
    phase = schedule.phase or timedelta()
    anchor = EPOCH if isinstance(schedule.anchor, str) else schedule.anchor
    timing: dict[str, Any] = {
        "every": schedule.every.total_seconds(),
        "phase": phase.total_seconds(),
    }
    if anchor is not EPOCH:
        timing["anchor"] = anchor.isoformat()
    return timing, every(schedule.every, anchor + phase)
