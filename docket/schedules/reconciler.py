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

    Paused ones are left out of the answer. A schedule whose timing is unchanged is not moved.
    """
    now = from_milliseconds(await schedules.now())
    declared = [
        DeclaredSchedule(
            schedule.name,
            schedule.timing,
            schedule.definition,
            0 if schedule.paused else to_milliseconds(schedule.next_after(now)),
        )
        for schedule in desired
    ]
    next_times = await schedules.reconcile(owner, declared)
    return {
        schedule.name: from_milliseconds(moment).astimezone(timezone.utc)
        for schedule, moment in zip(desired, next_times, strict=True)
        if moment
    }
