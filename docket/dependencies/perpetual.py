"""A task that runs again and again."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import Any, Literal

from typing_extensions import Self, override

from ..calls.binding import bind
from ..execution import Execution, NextRun
from .base import CompletionHandler, TaskOutcome, current_execution


class Perpetual(CompletionHandler["Perpetual"]):
    """A repetition: the task is scheduled again when it has ended, in success and in failure.

    The next run has the same key and, unless changed, the same arguments. It is written down
    together with the end of this one, so that the chain cannot break.

    Arguments:
        every: from the start of one run to the start of the next; a run that takes longer is followed
            at once.
        automatic: workers see to it that the task is always scheduled, under its own name as the key; it
            must not need arguments.
        counted_from: count ``every`` from the start of a run, or from its end.

    Example:
        >>> async def poll(every: Perpetual = Perpetual(timedelta(minutes=5), automatic=True)) -> None: ...
    """

    is_tied = True

    def __init__(
        self,
        every: timedelta = timedelta(0),
        automatic: bool = False,
        *,
        counted_from: Literal["start", "finish"] = "start",
    ) -> None:
        self.every = every
        self.counted_from = counted_from
        self.automatic = automatic
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.cancelled = False
        self.of_run: Execution | None = None
        self._moment: datetime | None = None
        self._pause: timedelta | None = None

    @override
    async def __aenter__(self) -> Self:
        bound = copy.copy(self)
        execution = current_execution.get()
        bound.of_run = execution
        bound.args = execution.args
        bound.kwargs = execution.kwargs
        return bound

    @property
    def initial_when(self) -> datetime | None:
        """Due time of the first run of an automatic task; None is at once."""
        return None

    def first_after(self, moment: datetime) -> datetime | None:
        """Return ``initial_when``, as seen from a moment."""
        del moment
        return self.initial_when

    def cancel(self) -> None:
        """Make this run the last one."""
        self.cancelled = True

    def perpetuate(self, *args: Any, **kwargs: Any) -> None:
        """Give the next run other arguments.

        Raises:
            WrongArguments: they do not fit the task; a ``TypeError``.
        """
        if self.of_run is not None:
            bind(self.of_run.function_name, self.of_run.function, args, kwargs)
        self.args = args
        self.kwargs = kwargs

    def after(self, delay: timedelta) -> None:
        """Make the next run due some time after the end of this one."""
        self._pause = delay
        self._moment = None

    def at(self, when: datetime) -> None:
        """Make the next run due at a moment."""
        self._moment = when
        self._pause = None

    @override
    async def on_complete(self, execution: Execution, outcome: TaskOutcome) -> bool:
        if self.cancelled:
            return False
        pause = self._pause
        if pause is None and self.counted_from == "finish":
            pause = self.every
        elif pause is None:
            pause = max(timedelta(0), self.every - outcome.duration)
        execution.next_run = NextRun(
            at=self._moment,
            after=pause,
            attempt=1,
            args=self.args,
            kwargs=self.kwargs,
            is_perpetual=True,
        )
        return True
