"""Tasks that run at the times of a cron expression."""

from __future__ import annotations

import copy
from datetime import datetime, timezone, tzinfo

from typing_extensions import Self, override

from ..execution import Execution
from ..foundation.cron import CronExpression
from .base import TaskOutcome, current_execution
from .perpetual import Perpetual


class Cron(Perpetual):
    """The times of a cron expression at which a task runs.

    Slots that pass while nothing works are not made up for; one that passes while the task still runs
    follows at once. Where clocks change, the rule of ``docket.cron.CronExpression`` holds.

    Arguments:
        expression: five fields, or six with seconds first, or ``@daily`` and the like.
        automatic: workers see to it that the task is always scheduled; it must not need arguments.
        tz: whose wall clock is meant.

    Raises:
        CronError: the expression is malformed or never due; it is a ``ValueError`` with the position.

    Example:
        >>> async def report(cron: Cron = Cron("0 9 * * 1-5", tz=ZoneInfo("Europe/Paris"))) -> None: ...
    """

    def __init__(self, expression: str, automatic: bool = True, tz: tzinfo = timezone.utc) -> None:
        super().__init__(automatic=automatic)
        self.expression = expression
        self.tz = tz
        self._ticks = CronExpression(expression, tz)
        self._last = datetime.now(timezone.utc)

    @override
    async def __aenter__(self) -> Self:
        bound = await super().__aenter__()
        # The server's time: a worker whose clock is wrong must not skip slots, or repeat one.
        bound.start_after(current_execution.get().started_at or datetime.now(timezone.utc))
        return bound

    def start_after(self, moment: datetime) -> None:
        """Count ``next_time`` from a moment."""
        self._last = moment

    def next_time(self) -> datetime:
        """Return the next time after now, and after the previously returned one."""
        self._last = self._ticks.next_after(self._last).astimezone(self.tz)
        return self._last

    @property
    @override
    def initial_when(self) -> datetime:
        """The first time from now on."""
        return self._first_time(datetime.now(timezone.utc))

    @override
    def first_after(self, moment: datetime) -> datetime | None:
        is_own = type(self).initial_when is Cron.initial_when
        return self._first_time(moment) if is_own else self.initial_when

    def _first_time(self, moment: datetime) -> datetime:
        # Of a copy: looking must not use up a time.
        looking = copy.copy(self)
        looking.start_after(moment)
        return looking.next_time()

    @override
    async def on_complete(self, execution: Execution, outcome: TaskOutcome) -> bool:
        if self._moment is None and self._pause is None:
            self.at(self.next_time())
        return await super().on_complete(execution, outcome)
