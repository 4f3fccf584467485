"""The ticker fires what is due: one loop that sleeps until the earliest due time."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from ..errors import DocketError, ServerUnavailable
from ..foundation.clock import ServerClock
from ..foundation.service import Service
from ..foundation.units import from_milliseconds, milliseconds, to_milliseconds
from ..serialization import Serializer
from ..storage.schedules import Awaited, Schedules, Tick
from ..storage.scripting.retrying import Backoff
from .desired import DesiredSchedule, Owed
from .firing import Firing
from .log import key_of, tell_missed, tell_tick
from .reconciler import reconcile
from .signing import call_of

logger = logging.getLogger("docket.schedules")

LONGEST_SLEEP = 10.0
"""Seconds after which the server's time is asked for again, should the clocks drift apart."""

AWAITING = 0.5
"""Seconds between two looks at runs from whose end the next due time is counted."""


TOGETHER = 100
"""Number of schedules that are fired in one round trip."""


class Ticker(Service):
    """The loop that turns due times into executions, each once, regardless of the number of supervisors.

    Arguments:
        schedules: the schedules in Redis.
        serializer: how arguments become bytes.
        owner: the owner of these schedules.
        execution_ttl: for how long a run is remembered that is cancelled for the next one.
    """

    def __init__(
        self,
        schedules: Schedules,
        serializer: Serializer,
        owner: str,
        execution_ttl: timedelta = timedelta(minutes=15),
    ) -> None:
        self._schedules = schedules
        self.serializer = serializer
        self._owner = owner
        self._execution_ttl = execution_ttl
        self._clock = ServerClock()
        self._desired: dict[str, DesiredSchedule] = {}
        self._changed = asyncio.Event()
        self._is_leading = True
        self.next_times: dict[str, datetime] = {}
        self.skipped: Counter[str] = Counter()
        """Number of due times that passed here without a run, by reason: missed, window (too late to be
        made up for), paused, asked, limit, struck, overlap.
        """
        self.lag: dict[str, float] = {}
        """Seconds between the last due time of each schedule and its firing."""

    silence = 120.0

    async def declare(self, desired: Sequence[DesiredSchedule]) -> None:
        """Declare these schedules, and no others.

        Raises:
            ServerUnavailable: Redis did not answer in time; nothing has changed.
        """
        self.follow(
            desired, await reconcile(self._schedules, self._owner, desired, self.serializer)
        )

    def follow(self, desired: Sequence[DesiredSchedule], due: Mapping[str, datetime]) -> None:
        """Tick these schedules from now on, and no others, without a word to Redis.

        Arguments:
            desired: the schedules.
            due: when each of them is due next; one that is no longer due is left out.
        """
        self._desired = {schedule.name: schedule for schedule in desired}
        self.next_times = dict(due)
        self._changed.set()

    @property
    def is_leading(self) -> bool:
        """True if what is due is fired here; if not, another supervisor does it."""
        return self._is_leading

    @is_leading.setter
    def is_leading(self, is_leading: bool) -> None:
        if is_leading != self._is_leading:
            self._is_leading = is_leading
            self._changed.set()

    async def run(self) -> None:
        """Fire until stopped."""
        backoff = Backoff(0.1, 2.0)
        while True:
            self.turn()
            try:
                await self.fire_due()
                backoff.reset()
                await self._sleep_until_due()
            except ServerUnavailable as error:
                logger.warning("Schedules wait for Redis: %s", error)
                await asyncio.sleep(backoff.next_pause())

    async def fire_due(self) -> None:
        """Fire what is due now, if this is where it is done.

        Raises:
            ServerUnavailable: Redis did not answer in time.
        """
        self._changed.clear()
        self._clock.set(await self._schedules.now())
        await self._await_ends()
        due = self._due()
        troubles: list[DocketError] = []
        for at in range(0, len(due), TOGETHER):
            # What has been removed, or has moved, since it was due is left to the next look.
            names = [name for name in due[at : at + TOGETHER] if name in self._desired]
            firings = [
                self._firing(self._desired[name], self.next_times[name])
                for name in names
                if name in self.next_times
            ]
            while firings:
                ticks = await self._schedules.tick(*(firing.due_time() for firing in firings))
                claimed, firings = zip(firings, ticks, strict=True), list[Firing]()
                for firing, tick in claimed:
                    if isinstance(tick, DocketError):
                        troubles.append(tick)
                    elif self._moves_on(firing, tick):
                        firings.append(firing)
        if troubles:
            # A bad record takes no other along: all others have been fired.
            raise troubles[0]

    async def _sleep_until_due(self) -> None:
        pause = LONGEST_SLEEP
        if self._is_leading:
            if self._awaited():
                pause = AWAITING
            if self.next_times:
                earliest = to_milliseconds(min(self.next_times.values()))
                pause = min(pause, max(0.0, (earliest - self._clock.now()) / 1000))
        try:
            await asyncio.wait_for(self._changed.wait(), pause)
        except asyncio.TimeoutError:
            return

    def _due(self) -> list[str]:
        if not self._is_leading:
            return []
        now = from_milliseconds(self._clock.now())
        due = [(moment, name) for name, moment in self.next_times.items() if moment <= now]
        return [name for _, name in sorted(due)]

    def _awaited(self) -> list[DesiredSchedule]:
        """Return the schedules whose next due time is counted from the end of a run that was not over yet."""
        return [
            schedule
            for name, schedule in self._desired.items()
            if schedule.anchor == "finish" and not schedule.paused and name not in self.next_times
        ]

    async def _await_ends(self) -> None:
        awaited = self._awaited()
        if not (awaited and self._is_leading):
            return
        moments = await self._schedules.awaited(
            [
                Awaited(
                    f"{self._owner}/{schedule.name}",
                    milliseconds(schedule.period),
                    schedule.limit or 0,
                    0 if schedule.end is None else to_milliseconds(schedule.end),
                )
                for schedule in awaited
            ]
        )
        for schedule, moment in zip(awaited, moments, strict=True):
            self._expect(schedule.name, moment)

    def _firing(self, schedule: DesiredSchedule, expected: datetime) -> Firing:
        now = from_milliseconds(self._clock.now())
        self.lag[schedule.name] = (now - expected).total_seconds()
        owed = schedule.owed(expected, now)
        calls: list[tuple[str, bytes]] = []
        try:
            for due in owed.runs:
                key = key_of(schedule.name, due)
                calls.append((key, call_of(self.serializer, schedule, key)))
        except DocketError as error:
            # What is not run moves on without an execution.
            logger.error("Schedule %s cannot run: %s", schedule.name, error)
            owed, calls = Owed((), owed.following, owed.skipped, owed.late), []
        return Firing(self._owner, schedule, expected, owed, calls, self._execution_ttl)

    def _moves_on(self, firing: Firing, tick: Tick) -> bool:
        """Note the outcome of a due time; return True if another one of the schedule has come."""
        self._note(firing.schedule.name, firing.key, tick)
        if firing.is_first and firing.owed.skipped and tick.word not in ("MOVED", "CHANGED"):
            self._count_missed(firing.schedule, firing.expected, firing.owed)
        return firing.move_on(tick)

    def _count_missed(self, schedule: DesiredSchedule, expected: datetime, owed: Owed) -> None:
        self.skipped["missed"] += owed.skipped - owed.late
        self.skipped["window"] += owed.late
        tell_missed(schedule.name, expected, owed)

    def _note(self, name: str, key: str, tick: Tick) -> None:
        if tick.word == "SKIPPED":
            self.skipped[tick.reason] += 1
        tell_tick(name, key, tick)
        if tick.word == "CHANGED":
            # It is another one by now: the leader hears of that with the next beat.
            self._expect(name, 0)
        elif name in self._desired:
            # Without a next time it has come to its end, or waits for the end of its run, or someone else
            # has paused or removed it.
            self._expect(name, tick.next_time)

    def _expect(self, name: str, next_time: int) -> None:
        if next_time:
            self.next_times[name] = from_milliseconds(next_time)
        else:
            self.next_times.pop(name, None)
