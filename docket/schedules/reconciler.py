"""Reconciliation: the schedules in Redis become equal to those that the configuration declares."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Final

from ..errors import NotTrusted
from ..foundation.plain import plain
from ..foundation.units import from_milliseconds, to_milliseconds
from ..serialization import Serializer
from ..storage.schedules import Known, Schedules
from ..storage.staging import DeclaredSchedule
from .desired import DesiredSchedule
from .signing import check_seal, seal_of

logger = logging.getLogger("docket.schedules")


UNSIGNED: Final = Serializer()


async def reconcile(
    schedules: Schedules,
    owner: str,
    desired: Sequence[DesiredSchedule],
    serializer: Serializer = UNSIGNED,
) -> dict[str, datetime]:
    """Declare these schedules and remove the owner's others; return the next due time of each.

    A schedule whose timing is unchanged is not moved, and one that was renamed goes on under its new name.
    """
    now = from_milliseconds(await schedules.now())
    declared = declarations(desired, now, owner, serializer)
    return due_next(desired, await schedules.reconcile(owner, declared))


def declarations(
    desired: Sequence[DesiredSchedule], now: datetime, owner: str, serializer: Serializer
) -> list[DeclaredSchedule]:
    """Return schedules in the words of the scripts.

    Arguments:
        desired: the schedules.
        now: from when on they are due.
        owner: whose they are.
        serializer: signs them.
    """
    return [
        DeclaredSchedule(
            schedule.name,
            schedule.timing,
            schedule.definition,
            _first_due(schedule, now),
            schedule.renamed_from or "",
            seal_of(serializer, owner, schedule),
        )
        for schedule in desired
    ]


def due_next(desired: Sequence[DesiredSchedule], moments: Sequence[int]) -> dict[str, datetime]:
    """Return the next due time of each schedule that is neither paused nor at its end.

    Arguments:
        desired: the schedules.
        moments: the reply of a script for each, in ms.
    """
    return {
        schedule.name: from_milliseconds(moment).astimezone(timezone.utc)
        for schedule, moment in zip(desired, moments, strict=True)
        if moment
    }


def active_schedules(
    known: Sequence[Known], owner: str, serializer: Serializer = UNSIGNED
) -> tuple[list[DesiredSchedule], dict[str, datetime]]:
    """Return the active schedules of an owner, as Redis holds them, and the next due time of each.

    One that cannot be read, because a newer release has written it, is left to others. One that is not
    signed by the owner, where that has keys, is left alone.

    Arguments:
        known: the schedules of all owners.
        owner: whose.
        serializer: knows the owner's keys.
    """
    schedules: list[DesiredSchedule] = []
    for one in known:
        if one.owner == owner:
            try:
                check_seal(serializer, owner, one.name, one.definition, one.seal)
                schedules.append(DesiredSchedule.read(one.name, one.definition))
            except (ValueError, NotTrusted) as error:
                logger.error("Schedule %s is not ticked here: %s", plain(one.name), error)
    moments = {one.name: one.next_time for one in known if one.owner == owner}
    return schedules, due_next(schedules, [moments[schedule.name] for schedule in schedules])


def _first_due(schedule: DesiredSchedule, now: datetime) -> int:
    due = None if schedule.paused else schedule.next_after(now)
    return 0 if due is None else to_milliseconds(due)
