"""The release of what was parked for want of a worker that knows it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from ...calls.outline import outline
from ...docket import Docket
from ...errors import ServerRefused, ServerUnavailable
from ...foundation.lifecycle import ParkedReason
from ...foundation.plain import plain
from ...foundation.service import Service
from ...instrumentation.events import Observer
from ...serialization import PICKLE
from ...storage.parked import UNREADABLE, Group

logger = logging.getLogger("docket.worker")

LOOK_EVERY = 5
"""Heartbeats between two looks at what is parked."""

SLICE_EVERY = 0.05
"""Seconds between two slices of parked work that is taken up."""


class Unparking(Service):
    """The release of what is parked and can be run here, no more at a time than is taken up at once.

    What lay on the stream any longer would be found, and parked again, by workers that do not know it: in
    a deploy old and new ones are mixed.

    Arguments:
        docket: where the tasks are known.
        observer: hears what is released.
        free: gives how many more executions the worker can take.
        look: makes the worker look for work.
    """

    def __init__(
        self,
        docket: Docket,
        observer: Observer,
        free: Callable[[], int],
        look: Callable[[], None],
    ) -> None:
        self._docket = docket
        self._observer = observer
        self._free = free
        self._call_for_work = look
        self.is_under_way = True
        """True while there may be something to take up, as before the first look."""

    async def prepare(self) -> None:
        """Forget the last look at what is parked: more may be known here by now."""
        self.is_under_way = True

    async def run(self) -> None:
        """Look every few heartbeats until stopped, and more often while there is something to take up."""
        while True:
            try:
                self.is_under_way = await self._take_up()
            except ServerUnavailable:
                self.is_under_way = False  # the trade reports it
            except ServerRefused as error:
                # Something is odd with what is parked: nothing else must suffer from that.
                self.is_under_way = False
                if self._reports.is_news(error):
                    logger.error("Parked work cannot be looked at: %s", error)
            pause = LOOK_EVERY * self._docket.heartbeat_interval.total_seconds()
            await asyncio.sleep(SLICE_EVERY if self.is_under_way else pause)

    async def _take_up(self) -> bool:
        """Release a slice; return True if there may be more."""
        ours = self._ours(await self._docket.storage.workers.parked_groups())
        free = self._free()
        if not ours or not free:
            return bool(ours)
        return any([await self._release(reason, tasks, free) for reason, tasks in ours.items()])

    def _ours(self, groups: Iterable[Group]) -> dict[str, list[str]]:
        """Return the parked work that can be run here: its tasks by the reason why it is parked."""
        found: dict[str, list[str]] = {}
        for reason, task in groups:
            if self._can_run(reason, task):
                found.setdefault(reason, []).append(task)
        return found

    def _can_run(self, reason: str, task: str) -> bool:
        if task not in self._docket.tasks:
            return False
        word, _, detail = reason.partition(" ")
        if word == ParkedReason.ARGS_SCHEMA.value and detail.isdigit():
            return self._docket.registry.policy(task).can_read(int(detail))
        if word == ParkedReason.SIGNATURE.value:
            # The worker that has parked it has types that it was not made of; ours may be others.
            return detail != outline(self._docket.tasks[task])
        if word == ParkedReason.CODEC.value:
            return PICKLE in self._docket.serializer.codecs
        return word == ParkedReason.UNKNOWN_TASK.value

    async def _release(self, reason: str, tasks: list[str], most: int) -> bool:
        # This worker takes what it frees: no bell is rung.
        workers = self._docket.storage.workers
        done = await workers.unpark(reason, tasks, is_quiet=True, most=most)
        for key, task in done.released:
            self._observer.released(task, key)
        for key in done.unreadable:
            logger.error(UNREADABLE, plain(key))
        if done.released:
            self._call_for_work()
        return bool(done.released)
