"""Policies of a task while it runs and when it fails, as values."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias

Upcast: TypeAlias = Callable[
    [int, tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]
]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The times at which a failed attempt is tried again.

    Arguments:
        attempts: the number of attempts in all; None is unlimited.
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
        """Return the pause before the next attempt, or None if there is none."""
        if self.attempts is not None and attempt >= self.attempts:
            return None
        if isinstance(error, self.never_on):
            return None
        pause = self._jittered(self._pause(attempt))
        return max(pause, self._wished(getattr(error, "retry_after", None)))

    def _wished(self, seconds: object) -> timedelta:
        """Return how long the other side wants to be left alone, no longer than ``max_delay``."""
        if not isinstance(seconds, int | float) or not seconds > 0:
            return timedelta()
        return timedelta(seconds=min(seconds, self.max_delay.total_seconds()))

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
class ConcurrencyPolicy:
    """The number of runs at a time.

    Arguments:
        limit: that number.
        key: the parameter whose argument distinguishes limits; None is one limit for the task.
        on_conflict: whether a run that is too many waits, or is dropped.
    """

    limit: int
    key: str | None = None
    on_conflict: Literal["wait", "drop"] = "wait"


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """The number of runs that may start within a window.

    Arguments:
        limit: that number.
        per: the length of the window.
        key: as in ``ConcurrencyPolicy``.
        drop: whether a run that is too many is dropped, rather than put off.
    """

    limit: int
    per: timedelta
    key: str | None = None
    drop: bool = False


@dataclass(frozen=True, slots=True)
class CooldownPolicy:
    """The time for which a start keeps others out.

    Arguments:
        window: so long.
        key: as in ``ConcurrencyPolicy``.
    """

    window: timedelta
    key: str | None = None


@dataclass(frozen=True, slots=True)
class DebouncePolicy:
    """The quiet time after which one run stands for many calls.

    Arguments:
        settle: that time.
        max_wait: the time after which it runs in any case.
        key: as in ``ConcurrencyPolicy``.
    """

    settle: timedelta
    max_wait: timedelta | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class PerpetualPolicy:
    """The way in which a task runs again and again.

    Arguments:
        every: the time from one run to the next.
        counted_from: whether that is counted from the start of a run, or from its end.
        automatic: whether workers see to it that the task is always scheduled.
    """

    every: timedelta
    counted_from: Literal["start", "finish"] = "start"
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class TaskPolicy:
    """The policies of a task; None leaves a behaviour to the code of the task.

    Arguments:
        timeout: how long one attempt may take.
        retry: when a failed attempt is tried again.
        concurrency: how many runs there may be at a time.
        rate_limit: how many runs may start in a while.
        cooldown: for how long a start keeps others out.
        debounce: how long it must be quiet before a run.
        perpetual: how it runs again and again.
        result_ttl: how long finished executions and their results are kept.
        in_process: whether it is a plain function that runs in a process of its own.
        args_schema: the version of the shape of its arguments.
        upcast: called with the number of an older shape, the positional arguments and those by name;
            returns both in this shape.
    """

    timeout: timedelta | None = None
    retry: RetryPolicy | None = None
    concurrency: ConcurrencyPolicy | None = None
    rate_limit: RatePolicy | None = None
    cooldown: CooldownPolicy | None = None
    debounce: DebouncePolicy | None = None
    perpetual: PerpetualPolicy | None = None
    result_ttl: timedelta | None = None
    in_process: bool = False
    args_schema: int = 1
    upcast: Upcast | None = None

    def can_read(self, schema: int) -> bool:
        """Return True if arguments of this shape are understood."""
        return schema == self.args_schema or (schema < self.args_schema and self.upcast is not None)


DEFAULT_POLICY = TaskPolicy()


BEHAVIOURS: Final[dict[str, Callable[..., Any]]] = {
    "concurrency": ConcurrencyPolicy,
    "rate_limit": RatePolicy,
    "cooldown": CooldownPolicy,
    "debounce": DebouncePolicy,
    "perpetual": PerpetualPolicy,
}
"""Policies of a task's tables, by their names in the file."""
