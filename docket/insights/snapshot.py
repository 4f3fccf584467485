"""The state of a docket at one moment, as values."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from ..calls.context import ExecutionContext
from ..execution import Execution
from ..foundation.lifecycle import ExecutionState
from ..storage.executions import Record
from ..storage.workers import WorkerInfo


class RunningExecution(Execution):
    """An execution that a worker holds, with who and since when.

    Arguments:
        execution: the execution.
        worker: who runs it.
        started: since when.
    """

    def __init__(self, execution: Execution, worker: str, started: datetime) -> None:
        vars(self).update(vars(execution))
        self.worker = worker
        self.started = started


@dataclass
class DocketSnapshot:
    """The state of a docket at one moment."""

    taken: datetime
    total_tasks: int
    future: Sequence[Execution]
    running: Sequence[RunningExecution]
    workers: Collection[WorkerInfo]


def snapshot_of(
    docket: ExecutionContext,
    records: Sequence[Record],
    workers: Collection[WorkerInfo],
    taken: datetime,
) -> DocketSnapshot:
    """Return a snapshot of these records.

    Arguments:
        docket: where they are.
        records: what waits or runs.
        workers: who works.
        taken: when.
    """
    future: list[Execution] = []
    running: list[RunningExecution] = []
    for record in records:
        execution = Execution.of(docket, record)
        if record.state is ExecutionState.RUNNING:
            started = record.started_at or taken
            running.append(RunningExecution(execution, record.worker or "", started))
        else:
            future.append(execution)
    return DocketSnapshot(taken, len(records), future, running, workers)


@dataclass(frozen=True, slots=True)
class StrikePreview:
    """The number of executions that a strike would hit now.

    Arguments:
        scheduled: those that are in the future.
        queued: those that are due.
        running: those that run; a strike does not end them.
        unreadable: those it may hit as well: their arguments cannot be read here.
    """

    scheduled: int
    queued: int
    running: int
    unreadable: int
