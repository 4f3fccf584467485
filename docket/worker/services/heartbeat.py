"""The heartbeat, which says that a worker lives and which tasks it knows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from ...calls.binding import ANYTHING, announced
from ...docket import Docket
from ...errors import ServerFull, ServerUnavailable
from ...foundation.clock import ServerClock
from ...foundation.service import Service
from ...instrumentation.events import Observer
from ...instrumentation.telemetry import is_measured
from ...storage.limits import Announcement
from ...storage.workers import ANY_TASK

LOOK_EVERY = 5
"""Beats between two looks at strikes that may have changed, and at queues that are new."""

ASTRAY = 5.0
"""Seconds by which the clock here may differ from the server's before it is reported."""


class Heartbeat(Service):
    """The beat of a worker every ``heartbeat_interval`` of the docket; it wakes for nothing else.

    Arguments:
        docket: where the worker works.
        worker: its name.
        clock: the server's time.
        observer: hears how much waits, and of a clock that is wrong.
        queues: gives the queues that the worker looks at.
        look_for_queues: has the worker look for more of them.
        on_forgotten: called when the server may have lost what it knew of the worker, and so all else.
        limits: gives the slots of the concurrency limits of its tasks, by definition and task.
        takes_all: whether it has a fallback for tasks that it does not know.
        code: gives the fingerprint of the code that the worker runs.
        slots: gives the number of executions that the worker runs at a time.
        report: sends what has ended since the last beat.
    """

    is_kept = True

    def __init__(
        self,
        docket: Docket,
        worker: str,
        clock: ServerClock,
        observer: Observer,
        queues: Callable[[], Sequence[str]],
        look_for_queues: Callable[[], Awaitable[None]],
        on_forgotten: Callable[[], None],
        limits: Callable[[], Mapping[tuple[str, str], int]],
        takes_all: bool = False,
        code: Callable[[], str] = str,
        *,
        slots: Callable[[], int],
        report: Callable[[], Awaitable[None]],
    ) -> None:
        self._docket = docket
        self._worker = worker
        self._clock = clock
        self._observer = observer
        self._queues = queues
        self._look_for_queues = look_for_queues
        self._on_forgotten = on_forgotten
        self._limits = limits
        self._takes_all = takes_all
        self._code = code
        self._slots = slots
        self._report = report
        self._began = time.monotonic()
        self._announced: Mapping[tuple[str, str], int] = {}
        self._disagreements: set[str] = set()
        self._known: frozenset[str] = frozenset()
        self._served: tuple[str, ...] = ()
        self._announced_slots = 0
        self._may_be_forgotten = False
        self._is_astray = False
        self.last_contact: float | None = None
        """Time of the server's last answer, on the clock of the event loop."""
        self.outage = ""
        """A sentence that says that the server is full; empty if it is not."""

    silence = 120.0

    async def prepare(self) -> None:
        """Register before anything is claimed."""
        await self._register()

    async def run(self) -> None:
        """Beat until stopped."""
        beats = 0
        while True:
            self.turn()
            try:
                await self._beat()
                if beats % LOOK_EVERY == 0:
                    await self._docket.strike_list.catch_up()
                    await self._look_for_queues()
                beats += 1
            except ServerUnavailable:
                # The trade reports it; a server that was started again may have kept nothing.
                self._may_be_forgotten = True
            await asyncio.sleep(self._docket.heartbeat_interval.total_seconds())

    async def _register(self) -> None:
        tasks, queues, slots = *self._work, self._slots()
        workers = self._docket.storage.workers
        silence, shapes = self._docket.silence, self._shapes()
        self._clock.set(
            await workers.register(
                *(self._worker, sorted(tasks), silence, shapes),
                *(self._docket.serializer.codecs, queues),
                timedelta(seconds=time.monotonic() - self._began),
                *(self._code(), slots),
            )
        )
        self._known, self._served, self._announced_slots = tasks, queues, slots
        await self._announce(self._limits())
        self.last_contact = asyncio.get_running_loop().time()

    @property
    def _work(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """The tasks that are known, and the queues that are served."""
        return frozenset(self._docket.tasks), tuple(self._queues())

    def _shapes(self) -> dict[str, str]:
        shapes = {name: announced(task) for name, task in self._docket.tasks.items()}
        return {**shapes, ANY_TASK: ANYTHING} if self._takes_all else shapes

    async def _beat(self) -> None:
        if (self._known, self._served) != self._work or self._announced_slots != self._slots():
            await self._register()
        if not await self._say():
            self._may_be_forgotten = True
        if self._may_be_forgotten:
            await self._register()
            self._may_be_forgotten = False
            self._on_forgotten()
        elif (limits := self._limits()) != self._announced:
            await self._announce(limits)
        self.last_contact = asyncio.get_running_loop().time()
        self._compare_clocks()
        await self._report()
        if is_measured():
            executions = self._docket.storage.executions
            self._observer.depths(*await executions.depths(self._queues(), self._clock.now()))

    async def _say(self) -> bool:
        """Say that the worker lives; return True if it was still known."""
        workers, now = self._docket.storage.workers, self._clock.now()
        try:
            is_known = await workers.beat(self._worker, now)
        except ServerFull as error:
            # What runs and waits goes on there, and nothing else would say so.
            self.outage = str(error)
            self._observer.disrupted(error, self._docket.heartbeat_interval.total_seconds())
            return await workers.beat_at_a_full_server(self._worker, now)
        if self.outage:
            self.outage = ""
            self._observer.recovered()
        return is_known

    async def _announce(self, limits: Mapping[tuple[str, str], int]) -> None:
        """Announce the limits, and those that no longer exist; one that has grown lets more in at once."""
        gone = dict.fromkeys(self._announced.keys() - limits.keys(), 0)
        announcements = [Announcement(*names, size) for names, size in {**limits, **gone}.items()]
        active = await self._docket.storage.limits.announce(self._worker, announcements)
        self._announced = dict(limits)
        for limit in active:
            if len(set(limit.sizes.values())) > 1 and limit.definition not in self._disagreements:
                self._observer.disagreed(limit.definition, limit.sizes, limit.size)
        self._disagreements = {
            limit.definition for limit in active if len(set(limit.sizes.values())) > 1
        }

    def _compare_clocks(self) -> None:
        is_astray = abs(self._clock.skew) > ASTRAY
        if is_astray and not self._is_astray:
            self._observer.skewed(self._clock.skew)
        self._is_astray = is_astray
