"""Tasks that have left the configuration, and the fate of their queued executions."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from ...config.model import Configuration
from ...config.tables.tasks import Task
from ...foundation.lifecycle import ExecutionState
from ...storage.executions import Record
from ...storage.storage import Storage

logger = logging.getLogger("docket.supervisor")

LOOK_EVERY = 5.0
"""Seconds between two looks at whether anything of them is left."""

SHARE = 0.1
"""Maximum share of the time that is spent on looking: it may read all that waits."""


class RemovedTasks:
    """The removed tasks, as long as anything of them waits.

    Drained tasks stay known to workers until nothing of them is left. Of cancelled ones more may come than
    waited at first: a process has parked something before it hears of it, or a run that goes on is to be
    tried again. A supervisor that is started anew knows nothing of them; what is left is parked.

    Arguments:
        storage: the records in Redis.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._next_look = 0.0
        self.tasks: dict[str, Task] = {}
        """The drained ones, by name."""
        self._cancelled: dict[str, timedelta] = {}
        """The cancelled ones, and how long that is remembered."""

    def follow(self, old: Configuration, new: Configuration) -> None:
        """Take note of what leaves, and of what has come back."""
        for name, task in _gone(old, new).items():
            if task.on_removed == "drain":
                self.tasks[name] = task
            elif task.on_removed == "cancel":
                self._cancelled[name] = old.execution_ttl
        for name in new.tasks:
            self.tasks.pop(name, None)
            self._cancelled.pop(name, None)

    def known_with(self, configuration: Configuration) -> Configuration:
        """Return the configuration for workers: with the removed tasks that are drained."""
        tasks = {**self.tasks, **configuration.tasks}
        return configuration.model_copy(update={"tasks": tasks})

    async def look(self, configuration: Configuration) -> bool:
        """Cancel what is to be cancelled, now and then; return True if a task is drained, and goes.

        Arguments:
            configuration: the one that runs; its tasks do not leave.

        Raises:
            ServerUnavailable: Redis did not answer in time.
        """
        began = time.monotonic()
        if not (self.tasks or self._cancelled) or began < self._next_look:
            return False
        self._next_look = began + LOOK_EVERY
        waiting, still = await self._left({*self.tasks, *self._cancelled} - {*configuration.tasks})
        read = time.monotonic()
        self._next_look = max(self._next_look, read + (read - began) / SHARE)
        await self._cancel(waiting)
        self._cancelled = {name: ttl for name, ttl in self._cancelled.items() if name in still}
        done = [name for name in self.tasks if name not in still]
        for name in done:
            logger.info("Nothing is left of %s: it goes", name)
            del self.tasks[name]
        return bool(done)

    async def _left(self, names: set[str]) -> tuple[list[Record], set[str]]:
        """Return the rest of the cancelled tasks, and the names of the tasks that have any rest.

        Of those that are worked off the first is enough, so that few records are read as a rule.
        """
        cancelled: list[Record] = []
        still: set[str] = set()
        async for record in self._storage.executions.everything(parked=True):
            if record.task in names:
                still.add(record.task)
                if record.task in self._cancelled:
                    cancelled.append(record)
            if still == names and not self._cancelled:
                break
        return cancelled, still

    async def _cancel(self, records: Sequence[Record]) -> None:
        """Cancel these, but for those that run."""
        waiting = [record for record in records if record.state is not ExecutionState.RUNNING]
        for record in waiting:
            await self._storage.executions.cancel(record.key, self._cancelled[record.task])
        for name, count in Counter(record.task for record in waiting).items():
            logger.info("Cancelled %d executions of %s, which has left the file", count, name)


def _gone(old: Configuration, new: Configuration) -> dict[str, Task]:
    return {name: task for name, task in old.tasks.items() if name not in new.tasks}
