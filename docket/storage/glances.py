"""A glance at schedules and workers: what is due next, and how much each worker holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from ..connection.base import Connection
from ..foundation.units import from_milliseconds
from .executions import queue_argument, worker_of
from .keys import Keys
from .scripting.retrying import run_patiently, value_of
from .scripting.script import Script

_GLANCE: Final = Script("glance", ("shown",))


class UpcomingSchedule(NamedTuple):
    """A schedule that is due soon.

    Arguments:
        name: owner/name.
        due: its next due time.
    """

    name: str
    due: datetime


class Glanced(NamedTuple):
    """The answer to one look.

    Arguments:
        upcoming: the schedules that are due next, the earliest first.
        held: how many executions each worker holds, by its name.
    """

    upcoming: list[UpcomingSchedule]
    held: Counter[str]


class Glances:
    """Looks at schedules and workers, in one round trip."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def look(self, queues: Sequence[str], shown: int) -> Glanced:
        """Look once.

        Arguments:
            queues: the queues of which executions are held.
            shown: how many schedules are told.

        Raises:
            ServerUnavailable: the server did not answer in time.
        """
        call = _GLANCE.call(self._keys, shown, *map(queue_argument, queues))
        (reply,) = await run_patiently(self._connection, call)
        due, holders = value_of(reply)
        upcoming = [
            UpcomingSchedule(name.decode(errors="replace"), from_milliseconds(at))
            for name, at in zip(due[::2], due[1::2], strict=True)
        ]
        held = Counter[str]()
        for consumer, count in zip(holders[::2], holders[1::2], strict=True):
            held[worker_of(consumer.decode(errors="replace"))] += int(count)
        return Glanced(upcoming, held)
