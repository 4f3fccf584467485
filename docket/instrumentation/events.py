"""Events in a worker, as verbs of an observer.

The worker reports to observers and does not know what they make of it: logs, counters, spans.
Descriptions of calls are given as functions, because most of them are never asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

logger = logging.getLogger("docket.worker")

Describe: TypeAlias = Callable[[], str]


class Observer:
    """Hears of everything; each verb does nothing unless it is overridden."""

    def started(
        self, task: str, describe: Describe, late: float, crashes: int, attempt: int = 1
    ) -> None:
        """A run has begun, ``late`` seconds after its due time; ``attempt`` counts from one."""

    def ended(self, task: str, describe: Describe, seconds: float, ending: str) -> None:
        """A run has ended: completed, failed, retried, cancelled, interrupted, lost, parked or struck."""

    def recorded(self, task: str, ending: str, seconds: float | None) -> None:
        """An end, or a failed attempt, is written down as in the history; a run of it has taken so long."""

    def failed(
        self, task: str, describe: Describe, error: BaseException, retry: float | None
    ) -> None:
        """A run has raised an error; it is tried again in ``retry`` seconds, unless that is None."""

    def perpetuated(self, task: str, describe: Describe, seconds: float) -> None:
        """A run, which took so long, is followed by another one of its own making."""

    def depths(self, due: int, future: int) -> None:
        """So many executions are due or running in the worker's queues, so many wait for their time."""

    def held_back(self, task: str, describe: Describe, reason: str, pause: float | None) -> None:
        """A limit does not let a run start; it comes again in ``pause`` seconds, or is dropped if None."""

    def disagreed(self, limit: str, sizes: Mapping[str, int], size: int) -> None:
        """Report that tasks which share a limit give it these sizes; the last one is active."""

    def parked(self, task: str, key: str, reason: str) -> None:
        """An execution waits for something that is not here."""

    def released(self, task: str, key: str) -> None:
        """A parked execution is queued again, because its task is known here."""

    def struck(self, task: str, key: str) -> None:
        """A strike kept an execution from running."""

    def expired(self, task: str, key: str) -> None:
        """Report that an execution has not begun by the moment by which it must have."""

    def crashed(self, task: str, key: str) -> None:
        """An execution has become a dead letter, because workers died under it too often."""

    def undecodable(self, task: str, key: str, error: Exception) -> None:
        """An execution has become a dead letter, because its payload cannot be read."""

    def lost(self, task: str, key: str) -> None:
        """Another worker has taken a run over."""

    def refused(self, task: str, key: str, verdict: str, where: str = "worker") -> None:
        """An outcome was not recorded, because the run was no longer the one that may.

        Arguments:
            where: what the outcome was meant to be: the end of the run (worker), another try (retry), or
                the next run of a perpetual task (on_complete).
        """

    def stale(self, count: int) -> None:
        """Messages of executions that have moved on were dropped."""

    def broken(self, what: str, trouble: str) -> None:
        """Something in Redis is not what it should be; it was put aside, and all else goes on."""

    def evicted(self, count: int) -> None:
        """Results were taken away, because all of them together took too much memory."""

    def disrupted(self, error: BaseException, pause: float) -> None:
        """The server is away; the next try is after ``pause`` seconds."""

    def recovered(self) -> None:
        """The server is back."""

    def blocked(self, seconds: float, stack: str) -> None:
        """A task has kept the event loop from turning for so long; this is where it stands."""

    def left_parked(self, count: int) -> None:
        """The worker has nothing left to do, and so many executions are parked."""

    def skewed(self, seconds: float) -> None:
        """The clock here is ahead of the server's by so much, or behind it."""


class Observers(Observer):
    """Passes everything on to several observers."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        for name in [name for name in vars(Observer) if not name.startswith("_")]:
            verbs = [getattr(observer, name) for observer in observers if _hears(observer, name)]
            setattr(self, name, _all_of(verbs))


def _hears(observer: Observer, verb: str) -> bool:
    return getattr(type(observer), verb) is not getattr(Observer, verb)


def _all_of(verbs: list[Callable[..., None]]) -> Callable[..., None]:
    def tell(*arguments: object) -> None:
        for verb in verbs:
            try:
                verb(*arguments)
            except Exception:
                # An observer only listens, and does not decide the outcome of a run.
                logger.exception("An observer failed at %s; the work goes on", verb.__qualname__)

    return tell
