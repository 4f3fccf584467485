"""The due times of one schedule that have come, as they are claimed one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ..foundation.units import to_milliseconds
from ..storage.schedules import DueTime, Tick, Turn
from .desired import DesiredSchedule, Overlap, Owed


class Firing:
    """The owed runs of one schedule: each due time is claimed after the previous one, and knows the next.

    Arguments:
        owner: the owner of the schedule.
        schedule: the schedule.
        expected: the due time that is known to be next.
        owed: the runs that are owed for the due times that have come.
        calls: key and call of each run that is owed; without any, the due time passes without an execution.
        ttl: for how long a run is remembered that is cancelled for the next one.
    """

    def __init__(
        self,
        owner: str,
        schedule: DesiredSchedule,
        expected: datetime,
        owed: Owed,
        calls: Sequence[tuple[str, bytes]],
        ttl: timedelta,
    ) -> None:
        self.schedule = schedule
        self.owed = owed
        self.expected = expected
        self._id = f"{owner}/{schedule.name}"
        self._ttl = ttl
        self._steps = list(
            zip(
                owed.runs or (None,),
                calls or [("", b"")],
                (*owed.runs[1:], owed.following),
                strict=True,
            )
        )
        self._at = 0

    @property
    def key(self) -> str:
        """The run that is claimed next; empty if its due time passes without one."""
        return self._steps[self._at][1][0]

    @property
    def is_first(self) -> bool:
        """True until the first of its due times is claimed."""
        return self._at == 0

    def due_time(self) -> DueTime:
        """Return the due time to claim next."""
        due, (key, call), following = self._steps[self._at]
        schedule, owed = self.schedule, self.owed
        options = schedule.options_at(self.expected if due is None else due)
        missed, late = (owed.skipped, owed.late) if self.is_first else (0, 0)
        return DueTime(
            self._id,
            Turn(
                _overlap(schedule, owed),
                schedule.limit or 0,
                schedule.anchor == "finish",
                missed,
                late,
            ),
            expected=to_milliseconds(self.expected),
            following=0 if following is None else to_milliseconds(following),
            due=to_milliseconds(self.expected if due is None else due),
            key=key,
            task=schedule.task,
            call=call,
            ttl=self._ttl,
            digest=schedule.digest,
            queue=options.lane,
            options=options.text,
        )

    def move_on(self, tick: Tick) -> bool:
        """Go on to the due time after one that was claimed; return True if there is one.

        Arguments:
            tick: the outcome of the claim.
        """
        following = self._steps[self._at][2]
        if tick.word in ("MOVED", "CHANGED") or not tick.next_time or following is None:
            return False
        self.expected = following
        self._at += 1
        return self._at < len(self._steps)


def _overlap(schedule: DesiredSchedule, owed: Owed) -> Overlap:
    """Return how overlapping runs are treated: those that are made up for at once wait for each other."""
    if len(owed.runs) > 1 and schedule.overlap in ("skip", "queue_one"):
        return "queue_all"
    return schedule.overlap
