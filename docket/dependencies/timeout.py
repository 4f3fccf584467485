"""A bound on how long one attempt may take."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from typing_extensions import Self, override

from ..execution import Execution
from ..foundation.plain import plain
from .base import Runtime


class Timeout(Runtime["Timeout"]):
    """A time limit for an attempt; it fails with ``asyncio.TimeoutError``, so a retry applies.

    Arguments:
        base: how long an attempt may take.

    Example:
        >>> async def fetch(url: str, timeout: Timeout = Timeout(timedelta(seconds=30))) -> None: ...
    """

    is_tied = True

    def __init__(self, base: timedelta) -> None:
        self.base = base
        self._deadline = 0.0
        self._now: Callable[[], float] = time.monotonic

    @override
    async def __aenter__(self) -> Self:
        return copy.copy(self)

    def start(self) -> None:
        """Start the time."""
        # Also for a plain function, whose thread has no event loop to ask.
        self._now = asyncio.get_running_loop().time
        self._deadline = self._now() + self.base.total_seconds()

    def expired(self) -> bool:
        """Return True if the time is up."""
        return self._now() >= self._deadline

    def remaining(self) -> timedelta:
        """Return how much time is left."""
        return timedelta(seconds=self._deadline - self._now())

    def extend(self, by: timedelta | None = None) -> None:
        """Allow more time.

        Arguments:
            by: how much; as much again as at first, if left out.
        """
        self._deadline += (self.base if by is None else by).total_seconds()

    @override
    async def run(
        self,
        execution: Execution,
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        self.start()
        task = asyncio.current_task()
        assert task is not None
        watch = _Watch(self, task)
        try:
            return await function(*args, **kwargs)
        except asyncio.CancelledError:
            if not watch.has_struck:
                raise
            raise asyncio.TimeoutError(
                f"Docket task {execution.function_name} {plain(execution.key)} exceeded timeout of "
                f"{self.base.total_seconds()}s"
            ) from None
        finally:
            watch.end()

    @property
    def deadline(self) -> float:
        """Time at which it is up, on the clock of the event loop."""
        return self._deadline


class _Watch:
    """Cancels a task at a deadline that may be put off meanwhile: one timer, no task of its own."""

    def __init__(self, timeout: Timeout, task: asyncio.Task[Any]) -> None:
        self._timeout = timeout
        self._task = task
        self.has_struck = False
        self._timer = asyncio.get_running_loop().call_at(timeout.deadline, self._look)

    def _look(self) -> None:
        if not self._timeout.expired():
            self._timer = asyncio.get_running_loop().call_at(self._timeout.deadline, self._look)
            return
        self.has_struck = True
        self._task.cancel()

    def end(self) -> None:
        self._timer.cancel()
        # Before Python 3.11 there is no count.
        uncancel: Any = getattr(self._task, "uncancel", None)
        if self.has_struck and uncancel is not None:
            uncancel()
