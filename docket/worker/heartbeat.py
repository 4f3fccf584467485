"""Says that a worker lives and what it knows, and frees what was parked for want of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from ..clock import ServerClock
from ..docket import Docket
from ..errors import ServerUnavailable
from ..instrumentation.events import Observer
from ..instrumentation.telemetry import is_measured
from ..lifecycle import ParkedReason
from ..service import Service

LOOK_EVERY = 5
"""Beats between two looks at what may have changed without a word."""


class Heartbeat(Service):
    """Beats every ``heartbeat_interval`` of the docket; wakes for nothing else.

    Arguments:
        docket: where the worker works.
        worker: its name.
        clock: the server's time.
        observer: hears what is released, and how much waits.
        queues: gives the queues that the worker looks at.
        look: has the worker look for work.
    """

    def __init__(
        self,
        docket: Docket,
        worker: str,
        clock: ServerClock,
        observer: Observer,
        queues: Callable[[], Sequence[str]],
        look: Callable[[], None],
    ) -> None:
        self._docket = docket
        self._worker = worker
        self._clock = clock
        self._observer = observer
        self._queues = queues
        self._call_for_work = look
        self._known: frozenset[str] = frozenset()
        self.last_contact: float | None = None
        """When the server last answered, on the clock of the event loop."""

    async def prepare(self) -> None:
        """Register before anything is claimed."""
        await self._register()

    async def run(self) -> None:
        """Beat until stopped."""
        beats = 0
        while True:
            try:
                await self._beat()
                if beats % LOOK_EVERY == 0:
                    await self._look()
                beats += 1
            except ServerUnavailable:
                pass  # the trade reports it
            await asyncio.sleep(self._docket.heartbeat_interval.total_seconds())

    async def _register(self) -> None:
        tasks = frozenset(self._docket.tasks)
        workers = self._docket.storage.workers
        self._clock.set(await workers.register(self._worker, sorted(tasks), self._docket.silence))
        self._known = tasks
        self.last_contact = asyncio.get_running_loop().time()

    async def _beat(self) -> None:
        if self._known != frozenset(self._docket.tasks):
            await self._register()
        await self._docket.storage.workers.beat(self._worker, self._clock.now())
        self.last_contact = asyncio.get_running_loop().time()
        if is_measured():
            self._observer.depths(*await self._docket.storage.executions.depths(self._queues()))

    async def _look(self) -> None:
        """What may have changed without a word: parked work that is known here, and the strikes."""
        await self._docket.strike_list.catch_up()
        if await self._docket.storage.workers.parked():
            for reason, tasks in self._ours():
                await self._release(reason, tasks)

    def _ours(self) -> Iterator[tuple[str, list[str]]]:
        """Why what is parked is parked that can be run here, and of which tasks."""
        known = sorted(self._known)
        yield ParkedReason.UNKNOWN_TASK.value, known
        policies = {task: self._docket.registry.policy(task) for task in known}
        for schema in range(1, max((one.args_schema for one in policies.values()), default=0) + 1):
            readable = [task for task, policy in policies.items() if policy.can_read(schema)]
            yield f"{ParkedReason.ARGS_SCHEMA.value} {schema}", readable

    async def _release(self, reason: str, tasks: list[str]) -> None:
        # Whoever frees it takes it: the bell may wake a worker that does not know it, and parks it again.
        freed = await self._docket.storage.workers.unpark(reason, tasks, is_quiet=True)
        for key, task in freed:
            self._observer.released(task, key)
        if freed:
            self._call_for_work()
