"""Another attempt after a failure."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import NoReturn

from typing_extensions import Self, override

from ..execution import Execution, NextRun
from .base import FailureHandler, TaskOutcome, current_execution


class ForcedRetry(Exception):
    """Raised by a task that asks for another attempt at a certain time."""


class Retry(FailureHandler["Retry"]):
    """Another attempt for a failed task, each time after the same pause.

    Arguments:
        attempts: how many attempts there are in all; None is without end.
        delay: the pause before each further one.

    Example:
        >>> async def fetch(url: str, retry: Retry = Retry(attempts=3, delay=timedelta(seconds=5))): ...
    """

    def __init__(self, attempts: int | None = 1, delay: timedelta = timedelta(0)) -> None:
        self.attempts = attempts
        self.delay = delay
        self.attempt = 1
        self._moment: datetime | None = None

    @classmethod
    def forever(cls, delay: timedelta = timedelta(0)) -> Retry:
        """Retry without end.

        Arguments:
            delay: the pause before each.
        """
        return Retry(attempts=None, delay=delay)

    @override
    async def __aenter__(self) -> Self:
        bound = copy.copy(self)
        bound.attempt = current_execution.get().attempt
        return bound

    def after(self, delay: timedelta) -> NoReturn:
        """Ask for another attempt after a pause; it is one of those that there are.

        Raises:
            ForcedRetry: always; let it pass.
        """
        self.delay = delay
        self._moment = None
        raise ForcedRetry

    def at(self, when: datetime) -> NoReturn:
        """Ask for another attempt at a moment; it is one of those that there are.

        Raises:
            ForcedRetry: always; let it pass.
        """
        self._moment = when
        raise ForcedRetry

    def in_(self, delay: timedelta) -> NoReturn:
        """Do the same as ``after``, under its old name."""
        self.after(delay)

    def pause(self, attempt: int, exception: BaseException | None) -> timedelta:
        """Return how long to wait after an attempt.

        Arguments:
            attempt: the number of the failed attempt, from 1.
            exception: its exception.
        """
        del attempt, exception  # every pause is the same
        return self.delay

    @override
    async def handle_failure(self, execution: Execution, outcome: TaskOutcome) -> bool:
        if self.attempts is not None and execution.attempt >= self.attempts:
            return False
        execution.next_run = NextRun(
            at=self._moment,
            after=self.pause(execution.attempt, outcome.exception),
            attempt=execution.attempt + 1,
        )
        return True


class ExponentialRetry(Retry):
    """Another attempt for a failed task, each pause twice as long as the previous one.

    Arguments:
        attempts: how many attempts there are in all; None is without end.
        minimum_delay: the first pause.
        maximum_delay: the longest one.

    Example:
        >>> async def fetch(url: str, retry: Retry = ExponentialRetry(attempts=5)) -> None: ...
    """

    def __init__(
        self,
        attempts: int | None = 1,
        minimum_delay: timedelta = timedelta(seconds=1),
        maximum_delay: timedelta = timedelta(seconds=64),
    ) -> None:
        super().__init__(attempts, minimum_delay)
        self.minimum_delay = minimum_delay
        self.maximum_delay = maximum_delay

    @classmethod
    @override
    def forever(
        cls,
        delay: timedelta = timedelta(seconds=1),
        maximum_delay: timedelta = timedelta(seconds=64),
    ) -> ExponentialRetry:
        """Retry without end.

        Arguments:
            delay: the first pause.
            maximum_delay: the longest one.
        """
        return ExponentialRetry(None, delay, maximum_delay)

    @override
    def pause(self, attempt: int, exception: BaseException | None) -> timedelta:
        if isinstance(exception, ForcedRetry):
            return self.delay
        # Bounded before it is used: attempts may be without end, what a timedelta holds is not.
        doublings = min(attempt - 1, 62)
        seconds = self.minimum_delay.total_seconds() * 2.0**doublings
        return timedelta(seconds=min(seconds, self.maximum_delay.total_seconds()))
