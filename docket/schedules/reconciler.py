"""Makes the schedules in Redis equal to what the configuration declares."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from ..storage.executions import from_milliseconds, to_milliseconds
from ..storage.schedules import DeclaredSchedule, Schedules
from .desired import DesiredSchedule


async def reconcile(
    schedules: Schedules, owner: str, desired: Sequence[DesiredSchedule]
) -> dict[str, datetime]:
    """Declare these schedules and remove the owner's others; tells when each one is due next.

    Those that are paused, or have come to their end, are left out of the answer. A schedule whose timing
    is unchanged is not moved, and one that was renamed goes on under its new name.
    """
    now = from_milliseconds(await schedules.now())
    declared = [
        DeclaredSchedule(
            schedule.name,
            schedule.timing,
            schedule.definition,
            _first_due(schedule, now),
            schedule.renamed_from or "",
        )
        for schedule in desired
    ]
    next_times = await schedules.reconcile(owner, declared)
    return {
        schedule.name: from_milliseconds(moment).astimezone(timezone.utc)
        for schedule, moment in zip(desired, next_times, strict=True)
        if moment
    }


def _first_due(schedule: DesiredSchedule, now: datetime) -> int:
    due = None if schedule.paused else schedule.next_after(now)
    return 0 if due is None else to_milliseconds(due)
