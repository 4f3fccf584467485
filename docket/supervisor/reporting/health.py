"""Health and metrics of a supervisor: alive, ready, and counters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

from ...foundation.service import Services
from ...instrumentation.pages import Response
from ...instrumentation.prometheus import Sample, page
from ...schedules.ticker import Ticker
from ..conditions import Conditions
from ..processes.pool import Pool
from ..processes.process import ProcessState
from .backlog import BacklogCount
from .contact import Contact
from .pings import LastPing
from .totals import Totals

STUCK = 10.0
"""Seconds without a turn of the event loop after which that is reported."""

SILENT = 8.0
"""Seconds without Redis after which that is reported, for any reason."""


RESULTS = ("applied", "unchanged", "invalid", "refused", "rolled_back", "failed")
"""Possible outcomes of a reload."""


@dataclass
class ReloadRecord:
    """The outcome of the last reload, and counts of all."""

    digest: str = ""
    """Meaning of what runs here."""
    desired: str | None = None
    """Meaning of the files; None if they cannot be used."""
    revision: int = 1
    succeeded: bool = True
    success_at: float = field(default_factory=time.time)
    results: Counter[str] = field(default_factory=Counter[str])

    def note(self, result: str, *, succeeded: bool) -> None:
        """Count a reload: applied, unchanged, invalid, refused or rolled_back."""
        self.results[result] += 1
        self.succeeded = succeeded
        if succeeded:
            self.success_at = time.time()


class Status:
    """Health and metrics of a supervisor; called from the thread that serves HTTP.

    Arguments:
        pools: the pools, by name.
        ticker: the schedules.
        reloads: how reloads went.
        conditions: how it stands.
        census: how much work there is.
    """

    def __init__(
        self,
        pools: dict[str, Pool],
        ticker: Ticker,
        reloads: ReloadRecord,
        conditions: Conditions | None = None,
        backlog_count: BacklogCount | None = None,
    ) -> None:
        self._backlog_count = backlog_count
        self._conditions = conditions or Conditions()
        self._pools = pools
        self._ticker = ticker
        self._reloads = reloads
        self._last_turn = time.monotonic()
        self.contact = Contact(self._conditions)
        self._retired = Totals()
        self.services: Services | None = None
        """Services that run in the background, once they do."""
        self.pings: Mapping[str, LastPing] = {}
        """The last ping of each pool, where they are pinged."""
        self.is_up = False
        """True once everything was brought up, until something is taken down."""

    def turn(self) -> None:
        """Note that the event loop has turned."""
        self._last_turn = time.monotonic()

    def remember(self, status: Mapping[str, Any]) -> None:
        """Keep what a process counted that is gone now: counters never fall."""
        self._retired.add(status)

    def livez(self) -> Response:
        """Report whether the supervisor itself goes on."""
        silent = time.monotonic() - self._last_turn
        if silent > STUCK:
            return _unavailable(f"the event loop has not turned for {silent:.0f} s")
        if stuck := [*self._stuck()]:
            return _unavailable("\n".join(stuck))
        return Response(HTTPStatus.OK, "alive\n")

    def readyz(self) -> Response:
        """Report whether work is done: Redis answers, and every pool has a process that works.

        A configuration that was refused does not count: the last good one runs.
        """
        troubles = list(self._troubles())
        if troubles:
            return _unavailable("\n".join(troubles))
        return Response(HTTPStatus.OK, "ready\n")

    def metrics(self) -> Response:
        """Return all metrics, in Prometheus' format."""
        return page(self._samples())

    def _stuck(self) -> Iterator[str]:
        """Yield which of those that look after something do not do so any longer."""
        if self.services is not None:
            yield from self.services.stuck()
        for pool in list(self._pools.values()):
            if told := pool.stuck():
                yield told

    def _troubles(self) -> Iterator[str]:
        if not self.is_up:
            yield "starting or stopping"
        silent = time.monotonic() - self.contact.last
        if trouble := self.contact.trouble:
            yield trouble
        elif silent > SILENT:
            yield f"Redis has not answered for {silent:.0f} s"
        for name, pool in list(self._pools.items()):
            if pool.is_degraded:
                yield f"pool {name} is degraded: its processes crash"
            elif not pool.ready:
                why = f": {pool.trouble}" if pool.trouble else ""
                yield f"pool {name} has no process that works{why}"

    def _samples(self) -> Iterator[Sample]:
        reloads = self._reloads
        yield _gauge(
            "docket_config_last_reload_successful",
            "Whether the last reload was applied.",
            float(reloads.succeeded),
        )
        yield _gauge(
            "docket_config_last_reload_success_timestamp_seconds",
            "When a configuration was applied last.",
            reloads.success_at,
        )
        yield Sample(
            "docket_config_info",
            "The configuration that runs.",
            "gauge",
            {"hash": reloads.digest[:12], "revision": str(reloads.revision)},
            1,
        )
        yield _gauge(
            "docket_config_drift",
            "Whether what runs here differs from the active revision.",
            float(self._conditions["Drift"].status),
        )
        yield _gauge(
            "docket_connected",
            "Whether Redis does what it is asked for.",
            float(not self.contact.trouble),
        )
        failures = {} if self.services is None else self.services.failures()
        for name, count in failures.items():
            labels = {"service": name}
            yield Sample(
                "docket_service_failures",
                "How many times what runs in the background has failed and begun again.",
                "counter",
                labels,
                count,
            )
        for result in RESULTS:
            labels, count = {"result": result}, reloads.results[result]
            yield Sample("docket_config_reloads", "Reloads by result.", "counter", labels, count)
        yield from self._pool_samples()
        yield from self._task_samples()
        yield from self._schedule_samples()
        yield from self._backlog_samples()
        yield from self._ping_samples()

    def _pool_samples(self) -> Iterator[Sample]:
        for name, pool in list(self._pools.items()):
            states = Counter(process.state for process in list(pool.processes))
            for state in ProcessState:
                labels, count = {"pool": name, "state": state.value}, states[state]
                yield Sample("docket_pool_workers", "Worker processes.", "gauge", labels, count)
            for reason in ("crash", "hung", "deaf", "recycled", "drained"):
                labels = {"pool": name, "reason": reason}
                count = pool.exits[reason]
                yield Sample(
                    "docket_worker_exits",
                    "Worker processes that are gone.",
                    "counter",
                    labels,
                    count,
                )

    def _task_samples(self) -> Iterator[Sample]:
        totals, running = Totals(), 0
        totals.include(self._retired)
        for pool in list(self._pools.values()):
            for process in list(pool.processes):
                running += process.status.get("in_flight", 0)
                totals.add(process.status)
        yield _gauge("docket_tasks_running", "Executions that run now.", running)
        for (metric, task), count in sorted(totals.counts.items()):
            yield Sample(metric, "What workers did.", "counter", {"docket_task": task}, count)
        for (metric, task), spread in sorted(totals.spreads.items()):
            yield Sample(metric, "How long it took.", "histogram", {"docket_task": task}, spread)

    def _ping_samples(self) -> Iterator[Sample]:
        for name, ping in list(self.pings.items()):
            yield Sample(
                "docket_ping_seconds",
                "The time from the add of the last ping to its outcome, or to when it was given up.",
                "gauge",
                {"pool": name},
                ping.seconds,
            )
            yield Sample(
                "docket_ping_late",
                "Whether the last ping has not completed in time.",
                "gauge",
                {"pool": name},
                float(bool(ping.trouble)),
            )

    def _backlog_samples(self) -> Iterator[Sample]:
        backlog = None if self._backlog_count is None else self._backlog_count.last
        if backlog is None:
            return
        for queue, count in sorted(backlog.due.items()):
            yield Sample(
                "docket_queue_depth",
                "Executions that are due or running.",
                "gauge",
                {"queue": queue},
                count,
            )
        yield _gauge(
            "docket_schedule_depth", "Executions that wait for their due time.", backlog.future
        )
        yield _gauge("docket_waiting", "Executions that wait for a limit.", backlog.waiting)
        yield _gauge("docket_parked", "Executions that are parked.", backlog.parked)
        yield _gauge("docket_dead", "Dead letters that are kept.", backlog.dead)

    def _schedule_samples(self) -> Iterator[Sample]:
        for name, moment in list(self._ticker.next_times.items()):
            yield Sample(
                "docket_schedule_next_run_timestamp_seconds",
                "When a schedule is due next.",
                "gauge",
                {"schedule": name},
                _timestamp(moment),
            )
        for name, seconds in list(self._ticker.lag.items()):
            yield Sample(
                "docket_schedule_lag_seconds",
                "How long after its due time a schedule was fired last.",
                "gauge",
                {"schedule": name},
                seconds,
            )
        for reason, count in {"missed": 0, **self._ticker.skipped}.items():
            yield Sample(
                "docket_schedule_skipped",
                "Due times without a run of their own.",
                "counter",
                {"reason": reason},
                count,
            )


def _gauge(metric: str, meaning: str, value: float) -> Sample:
    return Sample(metric, meaning, "gauge", {}, value)


def _timestamp(moment: datetime) -> float:
    return moment.timestamp()


def _unavailable(reason: str) -> Response:
    return Response(HTTPStatus.SERVICE_UNAVAILABLE, f"{reason}\n")
