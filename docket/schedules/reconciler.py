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

    A schedule whose timing is unchanged is not moved, and one that was renamed goes on under its new name.
    """
    declared = declarations(desired, from_milliseconds(await schedules.now()))
    return due_next(desired, await schedules.reconcile(owner, declared))


def declarations(desired: Sequence[DesiredSchedule], now: datetime) -> list[DeclaredSchedule]:
    """Schedules in the words of the scripts.

    Arguments:
        desired: the schedules.
        now: from when on they are due.
    """
    return [
        DeclaredSchedule(
            schedule.name,
            schedule.timing,
            schedule.definition,
            _first_due(schedule, now),
            schedule.renamed_from or "",
        )
        for schedule in desired
    ]


def due_next(desired: Sequence[DesiredSchedule], moments: Sequence[int]) -> dict[str, datetime]:
    """When each schedule is due next; those that are paused, or have come to their end, are left out.

    Arguments:
        desired: the schedules.
        moments: what a script said of each, in ms.
    """
    return {
        schedule.name: from_milliseconds(moment).astimezone(timezone.utc)
        for schedule, moment in zip(desired, moments, strict=True)
        if moment
    }


def _first_due(schedule: DesiredSchedule, now: datetime) -> int:
    due = None if schedule.paused else schedule.next_after(now)
    return 0 if due is None else to_milliseconds(due)
