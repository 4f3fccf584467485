"""Every sentence that the engine writes to the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping

from typing_extensions import override

from ..errors import ConfigurationError, ServerFull, ServerRefused
from ..foundation.error_text import is_unwieldy, line_of, message_of
from ..foundation.plain import plain
from . import gathering
from .events import Describe, Observer

docket = logging.getLogger("docket.docket")
worker = logging.getLogger("docket.worker")


def struck_at_add(describe: Describe) -> None:
    """Log that a call was not scheduled, because a strike forbids it."""
    if docket.isEnabledFor(logging.WARNING):
        docket.warning("Struck %s: a strike forbids it", describe())


def cancelled(key: str, word: str) -> None:
    """Log that an execution was cancelled."""
    docket.info("Cancel %s: %s", plain(key), word.lower())


def starting(name: str, tasks: Iterable[str]) -> None:
    """Log that a worker begins, and knows these tasks."""
    worker.info("Starting worker %r with the following tasks:", name)
    for task in tasks:
        worker.info("* %s", task)


def told_to_end(signal: str) -> None:
    """Log that a signal has asked a worker to end."""
    worker.info("Received %s, initiating graceful shutdown...", signal)


def finishing(count: int) -> None:
    """Log that a worker claims no more, and waits for what runs."""
    worker.info("Shutdown requested, finishing %d active tasks...", count)


REMIND = 60.0
"""Seconds after which a trouble that lasts is written again."""

CALM = 600.0
"""Seconds without an eviction after which the next one is written again."""

_TROUBLES = (
    (ConfigurationError, "cannot be used as configured"),
    (ServerFull, "is full"),
    (ServerRefused, "refuses"),
)
"""Troubles with Redis, by the type of the error; with all others it is away."""


def _of_run(glyph: str, seconds: float, call: str, more: str = "") -> None:
    """Write a line about a run, if there is a reader for it: there are very many of them."""
    gatherer = gathering.active
    if gatherer is None or not gatherer.takes(worker, _line_of_run, glyph, seconds, call, more):
        worker.info("%s [%s] %s%s", glyph, duration(seconds), call, more)


def _line_of_run(glyph: str, seconds: float, call: str, more: str) -> str:
    return f"{glyph} [{duration(seconds)}] {call}{more}"


class WorkerLog(Observer):
    """The log of a worker; the glyphs are read by programs."""

    def __init__(self) -> None:
        self._trouble = ""
        self._told = 0.0
        self._last_evicted = -CALM

    @override
    def started(
        self, task: str, describe: Describe, late: float, crashes: int, attempt: int = 1
    ) -> None:
        if worker.isEnabledFor(logging.INFO):
            again = f" (after {crashes} lost)" if crashes else ""
            glyph = "↬" if attempt > 1 else "↪"
            _of_run(glyph, late, describe(), again)

    @override
    def ended(self, task: str, describe: Describe, seconds: float, ending: str) -> None:
        if worker.isEnabledFor(logging.INFO):
            outcome = "" if ending == "completed" else f" {ending}"
            _of_run("↩", seconds, describe(), outcome)

    @override
    def failed(
        self, task: str, describe: Describe, error: BaseException, retry: float | None
    ) -> None:
        if retry is not None:
            again = duration(retry).strip()
            worker.warning("↩ %s failed, again in %s: %s", describe(), again, line_of(error))
        elif is_unwieldy(error):
            worker.error("↩ %s failed for good: %s", describe(), line_of(error))
        else:
            worker.error("↩ %s failed for good", describe(), exc_info=error)

    @override
    def disagreed(self, limit: str, sizes: Mapping[str, int], size: int) -> None:
        said = ", ".join(f"{task} {wants}" for task, wants in sorted(sizes.items()))
        worker.warning(
            "tasks that share the concurrency limit %r give it different sizes (%s): %d is active",
            limit,
            said,
            size,
        )

    @override
    def held_back(self, task: str, describe: Describe, reason: str, pause: float | None) -> None:
        if pause is None and worker.isEnabledFor(logging.INFO):
            worker.info("⏭ %s dropped: %s", describe(), reason)
        elif pause is not None and worker.isEnabledFor(logging.DEBUG):
            worker.debug("⏳ %s waits %.3f s: %s", describe(), pause, reason)

    @override
    def perpetuated(self, task: str, describe: Describe, seconds: float) -> None:
        if worker.isEnabledFor(logging.INFO):
            _of_run("↫", seconds, describe())

    @override
    def parked(self, task: str, key: str, reason: str) -> None:
        end = "its strike is over" if reason == "struck" else "a worker knows it"
        worker.warning(
            "Parked %s{%s}: %s; it runs as soon as %s", plain(task), plain(key), plain(reason), end
        )

    @override
    def released(self, task: str, key: str) -> None:
        worker.info("Released %s{%s}: it is known here", plain(task), plain(key))

    @override
    def struck(self, task: str, key: str) -> None:
        worker.warning("🗙 %s{%s}: a strike forbids it", plain(task), plain(key))

    @override
    def expired(self, task: str, key: str) -> None:
        worker.warning("Expired %s{%s}: it has not begun in time", plain(task), plain(key))

    @override
    def crashed(self, task: str, key: str) -> None:
        worker.error("Dead letter %s{%s}: workers died under it too often", plain(task), plain(key))

    @override
    def undecodable(self, task: str, key: str, error: Exception) -> None:
        worker.error("Dead letter %s{%s}: %s", plain(task), plain(key), plain(message_of(error)))

    @override
    def lost(self, task: str, key: str) -> None:
        worker.warning(
            "Lost the lease of %s{%s}: another worker has taken it over", plain(task), plain(key)
        )

    @override
    def refused(self, task: str, key: str, verdict: str, where: str = "worker") -> None:
        if verdict == "SUPERSEDED":
            worker.info("↬ %s{%s}: superseded", plain(task), plain(key))
        else:
            worker.warning(
                "↬ %s{%s}: the outcome was refused (%s)", plain(task), plain(key), verdict.lower()
            )

    @override
    def broken(self, what: str, trouble: str) -> None:
        worker.error("Put aside %s: another program has written to Redis there: %s", what, trouble)

    @override
    def evicted(self, count: int) -> None:
        now = time.monotonic()
        if now - self._last_evicted > CALM:
            worker.warning(
                "Results take more memory than results.max_memory allows, and the oldest are evicted; "
                "raise it, or keep results for less long (result_ttl)"
            )
        self._last_evicted = now

    @override
    def disrupted(self, error: BaseException, pause: float) -> None:
        trouble = next((words for kind, words in _TROUBLES if isinstance(error, kind)), "is away")
        now = time.monotonic()
        if trouble == self._trouble and now - self._told < REMIND:
            return
        self._trouble, self._told = trouble, now
        worker.warning("Redis %s (%s); it is tried again until it works", trouble, error)

    @override
    def recovered(self) -> None:
        if self._trouble:
            self._trouble = ""
            worker.info("Redis is back")

    @override
    def blocked(self, seconds: float, stack: str) -> None:
        worker.warning(
            "A task blocks the event loop for %.1f s; its leases are kept, but nothing else runs:\n%s",
            seconds,
            stack,
        )

    @override
    def left_parked(self, count: int) -> None:
        worker.warning(
            "Parked and not run: %d; docket parked shows why, and they run as soon as a worker knows their "
            "tasks or their strike is over",
            count,
        )

    @override
    def skewed(self, seconds: float) -> None:
        worker.warning(
            "The clock of this host is %s %s the server's; due times are the server's, but moments that "
            "programs here compute are not: have NTP set both",
            duration(abs(seconds)),
            "ahead of" if seconds > 0 else "behind",
        )


def duration(seconds: float) -> str:
    """Write seconds as six characters at least: ms below one second."""
    if seconds < 1:
        return f"{seconds * 1000:4.0f}ms"
    return f"{seconds:5.1f}s"
