"""Takes up what was parked for want of a worker that knows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from ..docket import Docket
from ..errors import ServerUnavailable
from ..instrumentation.events import Observer
from ..lifecycle import ParkedReason
from ..service import Service

LOOK_EVERY = 5
"""Heartbeats between two looks at what is parked."""

SLICE_EVERY = 0.05
"""Seconds between two slices of parked work that is taken up."""


class Unparking(Service):
    """Frees what is parked and can be run here, no more at a time than is taken up at once.

    What lay on the stream any longer would be found, and parked again, by workers that do not know it: in
    a deploy old and new ones are mixed.

    Arguments:
        docket: where the tasks are known.
        observer: hears what is released.
        free: gives how many more executions the worker can take.
        look: has the worker look for work.
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
        """Whether there may be something to take up: so it is until somebody has looked."""

    async def run(self) -> None:
        """Look every few heartbeats until stopped, and more often while there is something to take up."""
        while True:
            try:
                self.is_under_way = await self._take_up()
            except ServerUnavailable:
                self.is_under_way = False  # the trade reports it
            pause = LOOK_EVERY * self._docket.heartbeat_interval.total_seconds()
            await asyncio.sleep(SLICE_EVERY if self.is_under_way else pause)

    async def _take_up(self) -> bool:
        """Free a slice; tells whether there may be more."""
        if not await self._docket.storage.workers.parked():
            return False
        free = self._free()
        if not free:
            return True
        return any([await self._release(*ours, free) for ours in self._ours()])

    def _ours(self) -> Iterator[tuple[str, list[str]]]:
        """Why what is parked is parked that can be run here, and of which tasks."""
        known = sorted(self._docket.tasks)
        yield ParkedReason.UNKNOWN_TASK.value, known
        policies = {task: self._docket.registry.policy(task) for task in known}
        for schema in range(1, max((one.args_schema for one in policies.values()), default=0) + 1):
            readable = [task for task, policy in policies.items() if policy.can_read(schema)]
            yield f"{ParkedReason.ARGS_SCHEMA.value} {schema}", readable

    async def _release(self, reason: str, tasks: list[str], most: int) -> bool:
        # Whoever frees it takes it: no bell is rung.
        workers = self._docket.storage.workers
        freed = await workers.unpark(reason, tasks, is_quiet=True, most=most)
        for key, task in freed:
            self._observer.released(task, key)
        if freed:
            self._call_for_work()
        return bool(freed)
