"""What shall happen to a task while it runs and when it fails, as values."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is tried again.

    Arguments:
        attempts: how many attempts there are in all; None is without end.
        delay: the pause after the first attempt.
        max_delay: the longest pause.
        backoff: whether pauses stay as they are or double with every attempt.
        jitter: the share of a pause, 0 to 1, that chance may add or take away.
        never_on: errors that no further attempt will mend.
    """

    attempts: int | None = 1
    delay: timedelta = timedelta()
    max_delay: timedelta = timedelta(minutes=5)
    backoff: Literal["fixed", "exponential"] = "fixed"
    jitter: float = 0.0
    never_on: tuple[type[BaseException], ...] = ()

    def pause_after(self, attempt: int, error: BaseException) -> timedelta | None:
        """The pause before the next attempt, or None if there is none."""
        if self.attempts is not None and attempt >= self.attempts:
            return None
        if isinstance(error, self.never_on):
            return None
        return self._jittered(self._pause(attempt))

    def _pause(self, attempt: int) -> timedelta:
        if self.backoff == "fixed":
            return self.delay
        # The exponent is bounded before it is used: attempts may be without end, floats are not.
        doublings = min(attempt - 1, 63)
        longest = self.max_delay.total_seconds()
        return timedelta(seconds=min(self.delay.total_seconds() * 2.0**doublings, longest))

    def _jittered(self, pause: timedelta) -> timedelta:
        if not self.jitter:
            return pause
        return pause * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311


@dataclass(frozen=True, slots=True)
class TaskPolicy:
    """How a task is run.

    Arguments:
        timeout: how long one attempt may take; None is as the task says itself, else without end.
        retry: when a failed attempt is tried again; None is as the task says itself, else never.
    """

    timeout: timedelta | None = None
    retry: RetryPolicy | None = None


DEFAULT_POLICY = TaskPolicy()
