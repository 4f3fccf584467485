"""Report which schedules and queues are paused: one that is never resumed is easily forgotten."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

from ...errors import ServerUnavailable
from ...foundation.service import Service
from ...foundation.units import from_milliseconds
from ...schedules.log import utc
from ...storage.queues import QueuePause, Queues
from ...storage.schedules import PausedSchedule, Schedules
from ..conditions import Conditions

EVERY: Final = 5.0
"""Seconds between two looks."""

SHOWN: Final = 5
"""Maximum number of schedules that are named."""


class Pauses(Service):
    """Keeper of the condition ``Paused``, and of the pauses of queues.

    Arguments:
        schedules: what Redis holds of schedules.
        queues: what it holds of queues.
        owner: whose schedules.
        conditions: where it is kept.
        every: seconds between two looks.
    """

    def __init__(
        self,
        schedules: Schedules,
        queues: Queues,
        owner: str,
        conditions: Conditions,
        every: float = EVERY,
    ) -> None:
        self._schedules = schedules
        self._queues = queues
        self._owner = owner
        self._conditions = conditions
        self._every = every
        self.queues: list[QueuePause] = []
        """The pauses of queues, as they were at the last look."""

    silence = 120.0

    async def run(self) -> None:
        """Look until stopped."""
        while True:
            self.turn()
            with contextlib.suppress(ServerUnavailable):
                await self.look()
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Look once, and report what is paused.

        Raises:
            ServerUnavailable: Redis did not answer in time.
        """
        paused = await self._schedules.paused(self._owner)
        is_stopped = any(one.stopped for one in paused)
        reason = "Failures" if is_stopped else "Operator" if paused else ""
        self._conditions.tell("Paused", bool(paused), reason, _message(paused))
        self.queues = await self._queues.paused()


def _message(paused: list[PausedSchedule]) -> str:
    """Return the message; those that failures have stopped come first."""
    if not paused:
        return ""
    ordered = sorted(paused, key=lambda one: (not one.stopped, one.name))
    named = "; ".join(_line(one) for one in ordered[:SHOWN])
    more = f"; and {len(paused) - SHOWN} more" * (len(paused) > SHOWN)
    return f"{named}{more}; docket schedule resume has one run again"


def _line(one: PausedSchedule) -> str:
    return f"{one.name}: {', '.join(_words(one))}"


def _words(one: PausedSchedule) -> Iterable[str]:
    if one.stopped:
        yield str(one.stopped["reason"])
    if one.pause:
        why = f" ({one.pause['reason']})" if one.pause.get("reason") else ""
        ends = one.pause.get("until")
        until = f" until {utc(from_milliseconds(ends))}" if ends else ""
        yield f"paused by {one.pause['by']}{why}{until}"
