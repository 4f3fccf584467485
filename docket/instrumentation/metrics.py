"""Metrics of a worker, under their names."""

from __future__ import annotations

from collections import Counter, defaultdict

from typing_extensions import override

from .events import Describe, Observer
from .histogram import Histogram

_ENDINGS = {
    "completed": ("docket_tasks_succeeded",),
    "perpetuated": ("docket_tasks_succeeded",),
    "handled": ("docket_tasks_succeeded",),
    "failed": ("docket_tasks_failed",),
    "retried": ("docket_tasks_failed", "docket_tasks_retried"),
    "cancelled": ("docket_tasks_cancelled",),
    "interrupted": ("docket_tasks_interrupted",),
}


class Tally(Observer):
    """Counters by metric and task; cheap enough to count every run."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.spreads: defaultdict[tuple[str, str], Histogram] = defaultdict(Histogram)

    @override
    def started(
        self, task: str, describe: Describe, late: float, crashes: int, attempt: int = 1
    ) -> None:
        self.counts["docket_tasks_started", task] += 1
        self.spreads["docket_task_punctuality_seconds", task].note(late)
        if crashes:
            self.counts["docket_tasks_redelivered", task] += 1

    @override
    def ended(self, task: str, describe: Describe, seconds: float, ending: str) -> None:
        self.counts["docket_tasks_completed", task] += 1
        self.spreads["docket_task_duration_seconds", task].note(seconds)
        for metric in _ENDINGS.get(ending, ()):
            self.counts[metric, task] += 1

    @override
    def perpetuated(self, task: str, describe: Describe, seconds: float) -> None:
        self.counts["docket_tasks_perpetuated", task] += 1

    @override
    def parked(self, task: str, key: str, reason: str) -> None:
        self.counts["docket_tasks_parked", task] += 1

    @override
    def struck(self, task: str, key: str) -> None:
        self.counts["docket_tasks_stricken", task] += 1

    @override
    def expired(self, task: str, key: str) -> None:
        self.counts["docket_tasks_expired", task] += 1

    @override
    def crashed(self, task: str, key: str) -> None:
        self.counts["docket_tasks_dead", task] += 1

    @override
    def undecodable(self, task: str, key: str, error: Exception) -> None:
        self.counts["docket_tasks_dead", task] += 1

    @override
    def refused(self, task: str, key: str, verdict: str, where: str = "worker") -> None:
        self.counts["docket_tasks_superseded", task] += 1

    @override
    def evicted(self, count: int) -> None:
        self.counts["docket_results_evicted", ""] += count

    @override
    def disrupted(self, error: BaseException, pause: float) -> None:
        self.counts["docket_redis_disruptions", ""] += 1
