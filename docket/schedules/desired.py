"""What schedules should exist and when they are due; pure: it needs neither Redis nor a clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from ..config.model import Configuration, Schedule, schedule_seed
from ..cron import CronExpression, exact_zone

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


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
    """

    name: str
    task: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    timing: str
    next_after: Callable[[datetime], datetime]
    paused: bool = False

    @property
    def definition(self) -> str:
        """What it is, for those who look at it in Redis."""
        return json.dumps({"task": self.task, "timing": json.loads(self.timing)}, sort_keys=True)

    def latest_until(self, first: datetime, now: datetime) -> tuple[datetime, datetime]:
        """The last due time from ``first`` up to now, and the one after it.

        What was missed meanwhile runs once, not many times. Looks back in windows that double, so that
        years of missed seconds cost no more than a few steps.
        """
        window = timedelta(seconds=1)
        latest = self.next_after(now - window)
        while latest > now:
            window *= 2
            latest = first if now - window < first else self.next_after(now - window)
        while (following := self.next_after(latest)) <= now:
            latest = following
        return latest, following


def desired_schedules(configuration: Configuration) -> tuple[DesiredSchedule, ...]:
    """The schedules that a configuration declares."""
    return tuple(
        _desired(configuration, name, schedule)
        for name, schedule in configuration.schedules.items()
    )


def _desired(configuration: Configuration, name: str, schedule: Schedule) -> DesiredSchedule:
    zone = schedule.timezone or configuration.timezone
    if schedule.cron is not None:
        seed = schedule_seed(configuration.name, name)
        expression = CronExpression(schedule.cron, exact_zone(zone), seed=seed)
        timing: dict[str, Any] = {"cron": schedule.cron, "timezone": zone}
        next_after = expression.next_after
    else:
        assert schedule.every is not None
        every, phase = schedule.every, schedule.phase or timedelta()
        timing = {"every": every.total_seconds(), "phase": phase.total_seconds()}

        def next_after(moment: datetime) -> datetime:
            return next_multiple(moment, every, phase)

    return DesiredSchedule(
        name=name,
        task=schedule.task,
        args=tuple(schedule.args),
        kwargs=schedule.kwargs,
        timing=json.dumps({**timing, "paused": schedule.paused}, sort_keys=True),
        next_after=next_after,
        paused=schedule.paused,
    )


def next_multiple(moment: datetime, every: timedelta, phase: timedelta) -> datetime:
    """The first moment after this one that is the epoch plus the phase plus whole periods.

    Anchored this way, no reload, restart or host shifts a schedule.
    """
    since = moment - EPOCH - phase
    return EPOCH + phase + (since // every + 1) * every
