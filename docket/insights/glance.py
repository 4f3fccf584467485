"""A docket at a glance: its queues, what ends, who works, and what is due next."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from ..storage.glances import UpcomingSchedule
from ..storage.storage import Storage
from .series import TaskSeries, series_of

MINUTES: Final = 5
"""Minutes of the series that a glance takes in."""

SHOWN: Final = 5
"""Schedules that are named."""


@dataclass(frozen=True, slots=True)
class QueueAtAGlance:
    """A queue.

    Arguments:
        name: its name.
        depth: the executions that are due or running there.
        longest: how long the oldest has been due that no worker has taken; None if none waits.
        is_paused: whether nothing of it is started.
    """

    name: str
    depth: int
    longest: timedelta | None
    is_paused: bool


@dataclass(frozen=True, slots=True)
class WorkerAtAGlance:
    """A living worker.

    Arguments:
        name: its name.
        last_seen: its last heartbeat.
        slots: the executions that it runs at a time; None if it does not say.
        running: the executions that it holds.
    """

    name: str
    last_seen: datetime
    slots: int | None
    running: int


@dataclass(frozen=True, slots=True)
class Glance:
    """A docket at one moment.

    Arguments:
        now: the time of the server.
        since: the begin of the minutes that ``tasks`` is about.
        queues: the queues, by their names.
        future, waiting, parked, dead: how many wait for their time or for a limit, are parked, are dead
            letters.
        tasks: the ends of each task in the last minutes, by their names.
        workers: those that live, by their names.
        schedules: those that are due next.
    """

    now: datetime
    since: datetime
    queues: list[QueueAtAGlance]
    future: int
    waiting: int
    parked: int
    dead: int
    tasks: list[TaskSeries]
    workers: list[WorkerAtAGlance]
    schedules: list[UpcomingSchedule]


async def glance_at(storage: Storage, silence: timedelta) -> Glance:
    """Look at a docket once, in a bounded number of round trips.

    Arguments:
        storage: where it is.
        silence: how long a worker may be silent before it counts as gone.

    Raises:
        ServerUnavailable: the server did not answer in time.
    """
    backlog = await storage.executions.backlog()
    names = sorted(backlog.due)
    waits, glanced, series, workers = await asyncio.gather(
        storage.queues.waits(names),
        storage.glances.look(names, SHOWN),
        series_of(storage.series, None, timedelta(minutes=MINUTES - 1)),
        storage.workers.living(silence),
    )
    return Glance(
        series.until,
        series.since,
        [
            QueueAtAGlance(name, backlog.due[name], waits[name].longest, waits[name].is_paused)
            for name in names
        ],
        *(backlog.future, backlog.waiting, backlog.parked, backlog.dead),
        [*series.tasks],
        [
            WorkerAtAGlance(one.name, one.last_seen, one.slots, glanced.held[one.name])
            for one in sorted(workers, key=lambda one: one.name)
        ],
        glanced.upcoming,
    )
