"""The state of a docket at one moment, for code that does not await."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from typing_extensions import Self

from ..insights.snapshot import DocketSnapshot, RunningExecution
from ..storage.workers import WorkerInfo
from .bridge import Bridge
from .execution import SyncExecution


class SyncRunningExecution(SyncExecution):
    """An execution that a worker holds, with who and since when.

    Arguments:
        execution: the execution.
        bridge: where it lives.
    """

    def __init__(self, execution: RunningExecution, bridge: Bridge) -> None:
        super().__init__(execution, bridge)
        self._started = execution.started

    @property
    def started(self) -> datetime:
        """Since when it runs."""
        return self._started


@dataclass
class SyncDocketSnapshot:
    """The state of a docket at one moment."""

    taken: datetime
    total_tasks: int
    future: Sequence[SyncExecution]
    running: Sequence[SyncRunningExecution]
    workers: Collection[WorkerInfo]

    @classmethod
    def of(cls, snapshot: DocketSnapshot, bridge: Bridge) -> Self:
        """Return the same snapshot for code that does not await."""
        return cls(
            snapshot.taken,
            snapshot.total_tasks,
            [SyncExecution(one, bridge) for one in snapshot.future],
            [SyncRunningExecution(one, bridge) for one in snapshot.running],
            snapshot.workers,
        )
