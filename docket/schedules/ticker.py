"""Fires what is due: one loop that sleeps until the earliest due time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime

from ..clock import ServerClock
from ..errors import DocketError, ServerUnavailable
from ..serialization import Serializer
from ..service import Service
from ..storage.executions import from_milliseconds, to_milliseconds
from ..storage.patience import Backoff
from ..storage.schedules import Schedules
from .desired import DesiredSchedule, Owed
from .reconciler import reconcile

logger = logging.getLogger("docket.schedules")

LONGEST_SLEEP = 10.0
"""Seconds after which the server's time is asked for again, should the clocks drift apart."""


class Ticker(Service):
    """Turns due times into executions, each once, whatever number of supervisors there are.

    Arguments:
        schedules: what Redis holds.
        serializer: how arguments become bytes.
        owner: whose schedules these are.
    """

    def __init__(self, schedules: Schedules, serializer: Serializer, owner: str) -> None:
        self._schedules = schedules
        self.serializer = serializer
        self._owner = owner
        self._clock = ServerClock()
        self._desired: dict[str, DesiredSchedule] = {}
        self._changed = asyncio.Event()
        self._is_leading = True
        self.next_times: dict[str, datetime] = {}
        self.missed = 0
        """How many due times passed without a run of their own."""

    async def declare(self, desired: Sequence[DesiredSchedule]) -> None:
        """Have these schedules from now on, and no others.

        Raises:
            ServerUnavailable: Redis did not answer in time; nothing has changed.
        """
        self.follow(desired, await reconcile(self._schedules, self._owner, desired))

    def follow(self, desired: Sequence[DesiredSchedule], due: Mapping[str, datetime]) -> None:
        """Tick these schedules from now on, and no others, without a word to Redis.

        Arguments:
            desired: the schedules.
            due: when each of them is due next; one that is not due any more is left out.
        """
        self._desired = {schedule.name: schedule for schedule in desired}
        self.next_times = dict(due)
        self._changed.set()

    @property
    def is_leading(self) -> bool:
        """Whether what is due is fired here; if not, another supervisor does it."""
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
            try:
                self._clock.set(await self._schedules.now())
                await self._sleep_until_due()
                for name in self._due():
                    await self._fire(self._desired[name], self.next_times[name])
                backoff.reset()
            except ServerUnavailable as error:
                logger.warning("Schedules wait for Redis: %s", error)
                await asyncio.sleep(backoff.next_pause())

    async def _sleep_until_due(self) -> None:
        self._changed.clear()
        pause = LONGEST_SLEEP
        if self.next_times and self._is_leading:
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

    async def _fire(self, schedule: DesiredSchedule, expected: datetime) -> None:
        owed = schedule.owed(expected, from_milliseconds(self._clock.now()))
        if owed.skipped:
            self._tell_skipped(schedule, expected, owed)
        try:
            call = self.serializer.dump_call(
                schedule.args, dict(schedule.kwargs), context=schedule.task
            )
        except DocketError as error:
            logger.error("Schedule %s can not run: %s", schedule.name, error)
            self._expect(schedule.name, owed.following)
            return
        # What is not run moves on without an execution.
        for due, following in zip(
            owed.runs or (None,), (*owed.runs[1:], owed.following), strict=True
        ):
            key = "" if due is None else f"{schedule.name}@{_utc(due)}"
            tick = await self._schedules.tick(
                f"{self._owner}/{schedule.name}",
                expected=to_milliseconds(expected),
                following=0 if following is None else to_milliseconds(following),
                key=key,
                task=schedule.task,
                call=call,
            )
            self._note(schedule.name, key, tick.word, tick.next_time)
            if tick.word == "MOVED" or following is None:
                return
            expected = following

    def _tell_skipped(self, schedule: DesiredSchedule, expected: datetime, owed: Owed) -> None:
        self.missed += owed.skipped
        made_up = (
            f"{len(owed.runs)} runs from {_utc(owed.runs[0])} on are made up for"
            if len(owed.runs) > 1
            else f"only the run of {_utc(owed.runs[0])} is made up for"
            if owed.runs
            else "none of them is made up for"
        )
        logger.warning(
            "Schedule %s was due at %s and later; %s", schedule.name, _utc(expected), made_up
        )

    def _expect(self, name: str, following: datetime | None) -> None:
        if following is None:
            self.next_times.pop(name, None)
        else:
            self.next_times[name] = following

    def _note(self, name: str, key: str, word: str, next_time: int) -> None:
        if word == "FIRED":
            logger.info("Schedule %s: queued %s", name, key)
        elif word == "STRUCK":
            logger.warning("Schedule %s: a strike forbids %s", name, key)
        if name not in self._desired:
            return
        # Without a next time it has come to its end, or somebody else has paused or removed it.
        self._expect(name, from_milliseconds(next_time) if next_time else None)


def _utc(moment: datetime) -> str:
    text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return text.replace(".000Z", "Z")
