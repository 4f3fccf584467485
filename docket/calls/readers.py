"""Checks whether any worker reads what is about to be added."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta

from ..errors import NotSerializable
from ..serialization import CODECS_KEY, PICKLE, is_pickled
from ..storage.executions import NewExecution
from ..storage.workers import Workers


class Readers:
    """The tasks that the workers of a docket read; asked only for calls that not every worker reads.

    Arguments:
        workers: the workers at work.
        silence: the time after which a worker counts as gone.
        memory: the time for which an answer holds.
    """

    def __init__(self, workers: Workers, silence: timedelta, memory: timedelta) -> None:
        self._workers = workers
        self._silence = silence
        self._memory = memory.total_seconds()
        self._asked_at = -float("inf")

    async def refuse_unread(self, calls: Iterable[NewExecution]) -> None:
        """Refuse calls with pickled parts where there are workers, and none of them reads these.

        Raises:
            NotSerializable: there is such a call.
        """
        task = next((call.task for call in calls if is_pickled(call.call)), None)
        if task is None or time.monotonic() - self._asked_at < self._memory:
            return
        codecs = await self._workers.codecs(self._silence)
        if codecs and not any(PICKLE in each for each in codecs):
            raise NotSerializable(
                f"expected values that the workers of this docket read, found a call of {task} with pickled "
                f"parts, which {CODECS_KEY} forbids to all of them; convert them to plain values or models, "
                f'or set {CODECS_KEY} = ["safe", "pickle"] for the workers'
            )
        self._asked_at = time.monotonic()
