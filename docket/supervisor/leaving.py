"""Tasks that have left the configuration, and what becomes of their queued executions."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator

from ..config.model import Configuration
from ..config.tables.tasks import Task
from ..lifecycle import ExecutionState
from ..storage.executions import Record
from ..storage.storage import Storage

logger = logging.getLogger("docket.supervisor")

LOOK_EVERY = 5.0
"""Seconds between two looks at whether anything of them is left: each reads all that waits."""


class Leaving:
    """The tasks that are worked off before they go: workers know them as long as anything of them waits.

    A supervisor that is started anew knows nothing of them; what is left is parked then.

    Arguments:
        storage: what Redis holds.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._looked = 0.0
        self.tasks: dict[str, Task] = {}
        """Those that are worked off, by name."""

    def follow(self, old: Configuration, new: Configuration) -> None:
        """Take note of what leaves, and of what has come back."""
        for name, task in _gone(old, new).items():
            if task.on_removed == "drain":
                self.tasks[name] = task
        self.tasks = {name: task for name, task in self.tasks.items() if name not in new.tasks}

    def known_with(self, configuration: Configuration) -> Configuration:
        """The configuration as workers are told it: with the tasks that are worked off."""
        tasks = {**self.tasks, **configuration.tasks}
        return configuration.model_copy(update={"tasks": tasks})

    async def cancel(self, old: Configuration, new: Configuration) -> None:
        """Cancel what waits of the tasks that leave and want that; what runs goes on.

        Raises:
            ServerUnavailable: Redis did not answer in time.
        """
        names = {name for name, task in _gone(old, new).items() if task.on_removed == "cancel"}
        if not names:
            return
        executions = self._storage.executions
        waiting = [
            record.key
            async for record in self._waiting()
            if record.task in names and record.state is not ExecutionState.RUNNING
        ]
        # New processes have begun to park what they do not know any more.
        waiting += [record.key async for record in executions.parked() if record.task in names]
        for key in waiting:
            await executions.cancel(key, old.execution_ttl)
        logger.info("Cancelled %d executions of %s", len(waiting), ", ".join(sorted(names)))

    async def done(self) -> list[str]:
        """Forget those of which nothing is left; tells which.

        Raises:
            ServerUnavailable: Redis did not answer in time.
        """
        now = time.monotonic()
        if not self.tasks or now - self._looked < LOOK_EVERY:
            return []
        self._looked = now
        left = {record.task async for record in self._waiting()}
        done = [name for name in self.tasks if name not in left]
        for name in done:
            logger.info("Nothing is left of %s: it goes", name)
            del self.tasks[name]
        return done

    async def _waiting(self) -> AsyncIterator[Record]:
        executions = self._storage.executions
        async for record in executions.future():
            yield record
        async for record in executions.due(await executions.queues()):
            yield record


def _gone(old: Configuration, new: Configuration) -> dict[str, Task]:
    return {name: task for name, task in old.tasks.items() if name not in new.tasks}
