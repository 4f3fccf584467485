"""Detect worker processes that hang, as opposed to busy ones."""

from __future__ import annotations

import logging
import time
from weakref import WeakKeyDictionary

from .process import WorkerProcess
from .usage import computed_seconds

logger = logging.getLogger("docket.supervisor")

SILENT = 5.0
"""Seconds after which a process that says nothing is looked at: it says something every second."""

HANG = 60.0
"""Seconds for which a silent process may compute nothing before it counts as hung."""

IDLE = 0.02
"""The share of a processor below which a silent process does not compute, but hangs."""


class HangDetector:
    """A lookout for hanging processes of one pool.

    A process speaks every second as long as its event loop turns. One that is silent and computes is busy,
    not hung: its leases are kept by a thread of its own. One that does neither is stuck for good.

    Arguments:
        pool: the pool, for messages.
        hang: after how many seconds of silence without computing a process counts as hung.
    """

    def __init__(self, pool: str, hang: float = HANG) -> None:
        self._pool = pool
        self._hang = hang
        # Since when each silent process is watched, and how long it had computed then.
        self._marks: WeakKeyDictionary[WorkerProcess, tuple[float, float]] = WeakKeyDictionary()

    def hangs(self, process: WorkerProcess) -> bool:
        """Return True if it has been silent for long, and has computed next to nothing meanwhile."""
        now = time.monotonic()
        if now - process.heard_at < min(SILENT, self._hang):
            self._marks.pop(process, None)
            return False
        computed = computed_seconds(process.pid)
        since, before = self._marks.setdefault(process, (now, computed))
        if now - since < self._hang:
            return False
        self._marks[process] = now, computed
        if (computed - before) / (now - since) < IDLE:
            return True
        logger.warning(
            "Pool %s: a task has kept the event loop of process %d for %.0f s; it computes, so it goes on",
            self._pool,
            process.pid,
            now - process.heard_at,
        )
        return False
