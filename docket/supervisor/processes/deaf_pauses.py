"""The pauses before deaf processes of a pool are replaced, where that happens again and again."""

from __future__ import annotations

import math
import time
from weakref import WeakKeyDictionary

from ...storage.scripting.retrying import Backoff
from .process import WorkerProcess


class DeafPauses:
    """The pauses of a pool whose processes go deaf: none before the first, then longer and longer ones.

    Arguments:
        backoff: the pauses.
        window: the seconds without another one after which a deaf process is the first one again.
    """

    def __init__(self, backoff: Backoff, window: float) -> None:
        self._backoff = backoff
        self._window = window
        self._latest = -math.inf
        # From when each deaf process may be replaced.
        self._ends: WeakKeyDictionary[WorkerProcess, float] = WeakKeyDictionary()

    def __contains__(self, process: WorkerProcess) -> bool:
        return process in self._ends

    def left(self, process: WorkerProcess) -> float:
        """Return the seconds until a deaf process may be replaced; its pause begins with the first call."""
        now = time.monotonic()
        if process not in self._ends:
            self._ends[process] = self._latest = now + self._next(now)
        return max(0.0, self._ends[process] - now)

    def reset(self) -> None:
        """Count the next deaf process as the first one."""
        self._latest = -math.inf

    def _next(self, now: float) -> float:
        if now - self._latest <= self._window:
            return self._backoff.next_pause()
        self._backoff.reset()
        return 0.0
