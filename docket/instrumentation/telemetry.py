"""Counts of clients and workers, given to the instruments of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from opentelemetry import metrics
from typing_extensions import override

from ..foundation.lifecycle import Disposition
from .events import Describe, Observer
from .instruments import (
    CACHE_SIZE,
    QUEUE_DEPTH,
    REDIS_DISRUPTIONS,
    RESULTS_EVICTED,
    SCHEDULE_DEPTH,
    STRIKES_IN_EFFECT,
    TASK_DURATION,
    TASK_PUNCTUALITY,
    TASKS_ADDED,
    TASKS_CANCELLED,
    TASKS_COMPLETED,
    TASKS_DEAD,
    TASKS_EXPIRED,
    TASKS_FAILED,
    TASKS_INTERRUPTED,
    TASKS_PARKED,
    TASKS_PERPETUATED,
    TASKS_REDELIVERED,
    TASKS_REPLACED,
    TASKS_RETRIED,
    TASKS_RUNNING,
    TASKS_SCHEDULED,
    TASKS_STARTED,
    TASKS_STRICKEN,
    TASKS_SUCCEEDED,
    TASKS_SUPERSEDED,
)

Labels = Mapping[str, str]

_ENDINGS = {
    "completed": (TASKS_SUCCEEDED,),
    "perpetuated": (TASKS_SUCCEEDED,),
    "handled": (TASKS_SUCCEEDED,),
    "failed": (TASKS_FAILED,),
    "retried": (TASKS_FAILED, TASKS_RETRIED),
    "interrupted": (TASKS_INTERRUPTED,),
}

UNREGISTERED = "(unknown)"
"""Label of tasks that are unknown here: their names come from outside and have no bound."""


def is_measured() -> bool:
    """Return True if the application has set a meter provider: else nothing costs a round trip."""
    return not type(metrics.get_meter_provider()).__module__.startswith("opentelemetry.metrics")


def scheduled(mode: str, disposition: Disposition, labels: Labels) -> None:
    """Count the outcome of a call of add, replace or schedule.

    Arguments:
        mode: add, replace or schedule.
        disposition: what became of it.
        labels: the docket and the task.
    """
    if disposition is Disposition.STRUCK:
        TASKS_STRICKEN.add(1, {**labels, "docket.where": "docket"})
    elif disposition is Disposition.FAILED:
        return
    elif mode == "replace":
        TASKS_REPLACED.add(1, labels)
        TASKS_CANCELLED.add(1, labels)
        TASKS_SCHEDULED.add(1, labels)
    else:
        if mode == "add":
            TASKS_ADDED.add(1, labels)
        if disposition is Disposition.SCHEDULED:
            TASKS_SCHEDULED.add(1, labels)


def cancelled(labels: Labels) -> None:
    """Count a call of cancel."""
    TASKS_CANCELLED.add(1, labels)


def strikes_changed(docket: str, before: Iterable[Labels], after: Iterable[Labels]) -> None:
    """Count the strikes that this process follows.

    Arguments:
        docket: the name of the docket.
        before: what the strikes that ended were about.
        after: what the strikes that came are about.
    """
    for labels in before:
        STRIKES_IN_EFFECT.add(-1, {"docket.name": docket, **labels})
    for labels in after:
        STRIKES_IN_EFFECT.add(1, {"docket.name": docket, **labels})


class CacheInfo(Protocol):
    """The facts that a cache of functools reports about itself."""

    @property
    def currsize(self) -> int:
        """Number of entries."""
        ...

    @property
    def maxsize(self) -> int | None:
        """Maximum number of entries."""
        ...


def remembered(cache: str, info: CacheInfo) -> None:
    """Record the size of a cache that is about to hold one more.

    Arguments:
        cache: signature or annotation.
        info: what it said before.
    """
    size = info.currsize + 1
    CACHE_SIZE.set(min(size, info.maxsize or size), {"cache": cache})


class WorkerTelemetry(Observer):
    """Metrics of a worker.

    The labels of a task are made once. A task that is not known here has no name in them, because everyone
    who may add tasks can make such names up.

    Arguments:
        labels: the docket and the worker.
        tasks: the tasks that are known here, by name; it may grow.
    """

    def __init__(self, labels: Labels, tasks: Mapping[str, object]) -> None:
        self._labels = labels
        self._docket = {"docket.name": labels["docket.name"]}
        self._tasks = tasks
        self._by_task: dict[str, Labels] = {}

    @override
    def started(
        self, task: str, describe: Describe, late: float, crashes: int, attempt: int = 1
    ) -> None:
        labels = self._about(task)
        TASKS_STARTED.add(1, labels)
        TASKS_RUNNING.add(1, labels)
        TASK_PUNCTUALITY.record(late, labels)
        if crashes:
            TASKS_REDELIVERED.add(1, labels)

    @override
    def ended(self, task: str, describe: Describe, seconds: float, ending: str) -> None:
        labels = self._about(task)
        TASKS_RUNNING.add(-1, labels)
        TASKS_COMPLETED.add(1, labels)
        TASK_DURATION.record(seconds, labels)
        for counter in _ENDINGS.get(ending, ()):
            counter.add(1, labels)

    @override
    def perpetuated(self, task: str, describe: Describe, seconds: float) -> None:
        TASKS_PERPETUATED.add(1, self._about(task))

    @override
    def parked(self, task: str, key: str, reason: str) -> None:
        TASKS_PARKED.add(1, self._about(task))

    @override
    def struck(self, task: str, key: str) -> None:
        TASKS_STRICKEN.add(1, {**self._about(task), "docket.where": "worker"})

    @override
    def expired(self, task: str, key: str) -> None:
        TASKS_EXPIRED.add(1, self._about(task))

    @override
    def crashed(self, task: str, key: str) -> None:
        TASKS_DEAD.add(1, self._about(task))

    @override
    def undecodable(self, task: str, key: str, error: Exception) -> None:
        TASKS_DEAD.add(1, self._about(task))

    @override
    def lost(self, task: str, key: str) -> None:
        TASKS_SUPERSEDED.add(1, {**self._about(task), "docket.where": "worker"})

    @override
    def refused(self, task: str, key: str, verdict: str, where: str = "worker") -> None:
        TASKS_SUPERSEDED.add(1, {**self._about(task), "docket.where": where})

    @override
    def evicted(self, count: int) -> None:
        RESULTS_EVICTED.add(count, self._labels)

    @override
    def disrupted(self, error: BaseException, pause: float) -> None:
        REDIS_DISRUPTIONS.add(1, self._labels)

    @override
    def depths(self, due: int, future: int) -> None:
        QUEUE_DEPTH.set(due, self._docket)
        SCHEDULE_DEPTH.set(future, self._docket)

    def _about(self, task: str) -> Labels:
        known = self._by_task.get(task)
        if known is not None:
            return known
        name = task if task in self._tasks else UNREGISTERED
        labels = {**self._labels, "docket.task": name}
        if name == task:
            self._by_task[task] = labels
        return labels
